"""Errors of the gate: each carries a stable ``reason`` and names the offending value."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from policies.decision import Decision


class GatewayError(Exception):
    """Base of the gate's errors; ``reason`` is stable and machine-readable."""

    reason = "gateway_error"


class NotInitialisedError(GatewayError):
    """The home directory holds no gate yet."""

    reason = "not_initialised"


class ConfigurationError(GatewayError):
    """A setting is missing or impossible; the gate does not start."""

    reason = "configuration"


class NotFoundError(GatewayError):
    """No such object, or none that the caller may know of."""

    reason = "not_found"


class ConflictError(GatewayError):
    """The request contradicts what is already recorded."""

    reason = "conflict"


class InvalidRequestError(GatewayError):
    """A value of the request is outside what is accepted."""

    reason = "invalid_request"


class UnauthenticatedError(GatewayError):
    """The caller did not prove who they are."""

    reason = "unauthenticated"


class EvidenceError(GatewayError):
    """Recorded evidence does not verify (law 6); whatever rests on it stops."""

    reason = "evidence_broken"


class StageOrderError(GatewayError):
    """A stage was asked for before the one that it rests on."""

    reason = "stage_order"


class ForbiddenError(GatewayError):
    """The caller proved who they are, but the act is not theirs."""

    reason = "forbidden"


class SecurityKeysOffError(GatewayError):
    """The settings name no RP id and origins, without which no security key is trusted."""

    reason = "security_keys_off"


class ApprovalInvalidError(EvidenceError):
    """A statement that was offered as an approval does not verify; nothing was recorded but the attempt."""

    reason = "approval_invalid"


class EvidenceUnseenError(InvalidRequestError):
    """Somebody would sign what they did not look at."""

    reason = "evidence_unseen"


class CandidateExpiredError(StageOrderError):
    """A candidate or its terms are past their time; request the release anew."""

    reason = "candidate_expired"


class CandidateClosedError(StageOrderError):
    """A candidate was rejected or withdrawn; nothing opens it again."""

    reason = "candidate_closed"


class RangeNotSatisfiableError(GatewayError):
    """The bytes asked for do not exist (RFC 9110 §15.5.17).

    Attributes:
        size: Bytes of the whole item.
    """

    reason = "range_not_satisfiable"

    def __init__(self, wanted: str, size: int) -> None:
        super().__init__(
            f"range cannot be satisfied (got {wanted!r}, expected one range within {size} bytes)"
        )
        self.size = size


class DiskLowError(GatewayError):
    """Too little space is left to take in or build anything; the ledger keeps the rest for itself."""

    reason = "disk_low"


class RetainedError(GatewayError):
    """What was to be destroyed must be kept (rule 29).

    Attributes:
        rule: The term in the policy data, below ``retention``.
        allowed_from: When it may be destroyed; None for never.
    """

    reason = "retained"

    def __init__(self, what: str, rule: str, allowed_from: datetime | None) -> None:
        self.rule = rule
        self.allowed_from = allowed_from
        until = "for good" if allowed_from is None else f"until {allowed_from.isoformat()}"
        super().__init__(f"'{what}' must be kept {until} (rule 29, retention.{rule})")


class DeniedError(GatewayError):
    """Policy refused; the decision says which rules, with clauses.

    Attributes:
        decision: What policy answered.
        entry: Index of the ledger's entry of it; None where the question itself left none.
    """

    reason = "denied"

    def __init__(self, decision: Decision, *, entry: int | None = None) -> None:
        self.decision = decision
        self.entry = entry
        rules = ", ".join(v.rule for v in decision.violations)
        super().__init__(f"policy denies {decision.point}: {rules}")

    def explained(self) -> list[dict[str, Any]]:
        """Which rule, clause and fact (law 10), ready for JSON."""
        return [
            {
                "rule": v.rule,
                "clause": v.clause,
                "text_zh": v.text_zh,
                "text_en": v.text_en,
                "facts": [dict(fact) for fact in v.facts],
            }
            for v in self.decision.violations
        ]


class ActDeniedError(DeniedError, ForbiddenError):
    """Policy permits this person this act not, or not on this object (decision point ``act``)."""

    reason = "forbidden"

    def __init__(self, decision: Decision, *, act: str, actor: str, entry: int | None = None) -> None:
        super().__init__(decision, entry=entry)
        rules = ", ".join(v.rule for v in decision.violations)
        self.args = (f"policy denies {act} to {actor}: {rules}",)


class HeldError(GatewayError):
    """An item stays in quarantine."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        super().__init__(detail)


class DigestMismatchError(GatewayError):
    """Delivered bytes are not those that the signed manifest announces; they are kept, sealed, as rejected."""

    reason = "digest_mismatch"


class ObligationError(GatewayError):
    """A decision carries obligations that this gate cannot perform; the release is refused."""

    reason = "obligation_unmet"

    def __init__(self, kinds: Sequence[str]) -> None:
        self.kinds = tuple(kinds)
        super().__init__(f"cannot perform obligations (got {', '.join(kinds)})")


class ReviewPendingError(ObligationError):
    """A candidate waits for a person, its slopes (rule 15) or its pictures (rule 17); it stays as it was built.

    Attributes:
        release: Id of the candidate; ``what`` says what waits, for whom, and how one goes on.
    """

    reason = "review_pending"

    def __init__(self, kinds: Sequence[str], release: str, *, what: str = "") -> None:
        super().__init__(kinds)
        self.release = release
        self.args = (
            what or f"slopes wait for a compliance officer (fleetgate maps review {release}, then resume it)",
        )
