"""Errors of readers of released data."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A policy rule that refused, with the clause that it implements."""

    rule: str
    clause: str
    text_zh: str
    text_en: str


class PipelineError(Exception):
    """Base of this package's errors; ``reason`` is a stable machine-readable code."""

    reason = "pipeline_error"


class RefusedError(PipelineError):
    """The gateway refused (RFC 9457 problem).

    Attributes:
        status: HTTP status.
        reason: The gateway's stable code; ``unexpected_answer`` where it gave none.
        detail: What it said about this occurrence.
        violations: The policy rules that refused.
    """

    def __init__(self, status: int, reason: str, detail: str, violations: Sequence[Violation] = ()) -> None:
        rules = "".join(f"; {v.rule} ({v.clause}): {v.text_en}" for v in violations)
        super().__init__(f"{status} {reason}: {detail}{rules}")
        self.status = status
        self.reason = reason
        self.detail = detail
        self.violations = tuple(violations)


class TamperedReleaseError(PipelineError):
    """What arrived is not what the operator signed: nothing of it may be used."""

    reason = "release_tampered"


class UnexpectedAnswerError(PipelineError):
    """The gateway answered outside its protocol."""

    reason = "unexpected_answer"


class UnreachableError(PipelineError):
    """The gateway cannot be reached, or the connection broke; what was fetched and verified stays."""

    reason = "unreachable"


class KeyFileError(PipelineError):
    """A key file is missing, unreadable or holds no Ed25519 key of the kind that is needed."""

    reason = "key_unusable"


class DestinationError(PipelineError):
    """The destination folder cannot take the release safely."""

    reason = "destination_unsafe"


class CacheError(PipelineError):
    """The cache's folder cannot be used, or a sealed copy in it was altered."""

    reason = "cache_unusable"


class UnregisteredError(PipelineError):
    """The gate does not know a derived file: it is not published, or not taken by a later step."""

    reason = "unregistered"


class RevokedArtefactError(PipelineError):
    """A derived file rests on a release that was revoked: no later step takes it."""

    reason = "artefact_revoked"


class PublishingError(PipelineError):
    """A derived file, or what lies beside it, cannot be written or read."""

    reason = "publishing_failed"
