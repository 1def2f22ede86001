"""Errors of batch work over many items."""

from pipeline.errors import PipelineError


class ScaleError(PipelineError):
    """Base of this package's errors."""

    reason = "scale_error"


class OutputsError(ScaleError):
    """The folder of outputs cannot be used, is used by another run, or its ledger was altered."""

    reason = "outputs_unusable"


class NotDeterministicError(ScaleError):
    """The same function made two different outputs of the same item."""

    reason = "output_not_deterministic"


class TooFewCpusError(ScaleError):
    """There are not enough processors for the workers and for what must run beside them."""

    reason = "too_few_cpus"


class StalledError(ScaleError):
    """No output was finished for longer than is permitted."""

    reason = "batch_stalled"


class WorkerLostError(ScaleError):
    """Workers died again and again at the same items, or an engine ended without having done its work."""

    reason = "worker_lost"


class ItemFailedError(ScaleError):
    """A function failed on an item; ``reason`` is that of the error that it raised."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason
