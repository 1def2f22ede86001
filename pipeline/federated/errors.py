"""Errors of federated training."""

from pipeline.errors import PipelineError


class FederatedError(PipelineError):
    """Base of this package's errors."""

    reason = "federated_error"


class UpdateError(FederatedError):
    """An update cannot leave: shapes, types or values that are not those of the model."""

    reason = "update_invalid"


class FlowerError(FederatedError):
    """Flower's process is missing, failed, or answered in another form."""

    reason = "flower_failed"


class SiteRecordError(FederatedError):
    """A site's record of updates cannot be written or was altered."""

    reason = "site_record_unusable"


class WeightsError(FederatedError):
    """A file of weights cannot be read or written, or is not of this training."""

    reason = "weights_unusable"
