"""Errors of mining."""

from pipeline.errors import PipelineError


class TriggerFileError(PipelineError):
    """A file of triggers is malformed, or says something that cannot be evaluated."""

    reason = "trigger_file_invalid"


class SignalError(PipelineError):
    """Signals are malformed: columns of different lengths, unknown columns, values that are no numbers."""

    reason = "signals_invalid"
