"""Errors of the judge: each names the offending value and what was expected; none of them allows."""


class PolicyError(Exception):
    """Base of every error of this package; ``reason`` is a stable machine-readable code."""

    reason = "policy_error"


class BundleError(PolicyError):
    """The policy bundle is incomplete, malformed, altered, unsigned or outside its period."""

    reason = "policy_bundle_invalid"


class QuestionError(PolicyError):
    """The question lacks a fact or states one that its schema does not admit; ``path`` names the fact."""

    reason = "policy_question_invalid"

    def __init__(self, message: str, *, path: str) -> None:
        super().__init__(message)
        self.path = path


class EngineError(PolicyError):
    """The engine failed, was unreachable or gave no well-formed decision of the expected bundle."""

    reason = "policy_engine_failed"


class VectorMismatchError(PolicyError):
    """The engine answers a golden vector otherwise than recorded, or the vectors do not cover the rules."""

    reason = "policy_vector_mismatch"
