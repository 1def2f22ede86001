"""Errors of what vehicles deliver."""

from typing import Final

from gateway.errors import GatewayError, InvalidRequestError

_SHOWN: Final = 200


class ManifestError(InvalidRequestError):
    """A manifest is malformed or its signature does not verify.

    Attributes:
        reason: Stable code.
        field: Where, such as ``items[3].size``; ``manifest`` where it is the whole.
    """

    reason = "manifest_invalid"

    def __init__(self, field: str, got: object, expected: str) -> None:
        shown = ascii(got)
        super().__init__(
            f"{field} (got {shown if len(shown) <= _SHOWN else shown[:_SHOWN] + '…'}, expected {expected})"
        )
        self.field = field


class SealedDeliveryError(InvalidRequestError):
    """What a vehicle sealed does not open here as what it announced, or is not sealed where it must be."""

    reason = "sealed_delivery_invalid"


class DeliveryError(GatewayError):
    """A vehicle's delivery did not complete; everything that the gateway acknowledged is kept there.

    Attributes:
        reason: The gateway's stable code, or one of the agent's own.
        status: The HTTP status of the refusal, None where there was none.
    """

    def __init__(self, reason: str, detail: str, *, status: int | None = None) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.status = status
