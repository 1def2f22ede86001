"""Errors of the transforms: each names the offending value and what was expected."""


class AnonymizeError(Exception):
    """Base of every error that stops an item in quarantine; ``reason`` is a stable machine-readable code."""

    reason = "anonymize_error"


class UnknownFormatError(AnonymizeError):
    """The content is of no kind that the gate understands."""

    reason = "unknown_format"


class WrongExtensionError(AnonymizeError):
    """The file name claims another kind than the content is."""

    reason = "wrong_extension"


class MalformedItemError(AnonymizeError):
    """The content is of a known kind but violates its format (truncated, undecodable, impossible values)."""

    reason = "malformed"


class LimitExceededError(AnonymizeError):
    """The content is larger than the profile permits (pixels, points, bytes, nesting)."""

    reason = "limit_exceeded"


class UnknownCrsError(AnonymizeError):
    """The coordinate reference system is missing or unknown (COMPLIANCE rule 2)."""

    reason = "unknown_crs"


class ModelError(AnonymizeError):
    """A detector's model is missing, has the wrong digest or lacks task and class metadata."""

    reason = "model_unavailable"


class ResidualError(AnonymizeError):
    """The residual scan still finds what the treatment had to remove."""

    reason = "residual_found"


class ProfileError(AnonymizeError):
    """The treatment profile is missing, malformed or asks for something that does not exist."""

    reason = "profile_invalid"


class ZoneFileError(AnonymizeError):
    """The restricted-zone file is malformed (invalid geometry, unknown kind, missing margin)."""

    reason = "zone_file_invalid"


class OutsideReleaseError(AnonymizeError):
    """The item was taken at a time that the release leaves out: between clips, or in a trimmed end of a trip."""

    reason = "outside_clips"


class ThinnedError(AnonymizeError):
    """The profile releases other sweeps of this sensor."""

    reason = "thinned"


class CompanionError(AnonymizeError):
    """The item is read with other items of its folder, of which one is missing, held or there twice."""

    reason = "companion_missing"


class ProcessorError(AnonymizeError):
    """The secrecy processor is missing, not attested now, or does not do what a processor must."""

    reason = "processor_refused"
