"""Why a request's signature is refused."""

from enum import StrEnum

from gateway.errors import UnauthenticatedError


class SignatureReason(StrEnum):
    """Stable codes of refused signatures."""

    MISSING = "signature_missing"
    DUPLICATED = "signature_field_duplicated"
    MALFORMED = "signature_malformed"
    PARAMETERS = "signature_parameters"
    ALGORITHM = "signature_algorithm"
    FUTURE = "signature_from_the_future"
    EXPIRED = "signature_expired"
    UNCOVERED = "signature_coverage"
    UNKNOWN_KEY = "signature_key_unknown"
    INVALID = "signature_invalid"
    CONTENT = "content_digest_mismatch"
    REPLAYED = "signature_replayed"


class SignatureRefusedError(UnauthenticatedError):
    """A request's signature proves nothing.

    Attributes:
        reason: The stable code.
        detail: The offending value and what was expected.
    """

    def __init__(self, reason: SignatureReason, detail: str) -> None:
        super().__init__(f"{reason.value}: {detail}")
        self.reason = reason
        self.detail = detail
