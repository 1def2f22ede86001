"""Errors of training. Each takes its message alone, so that torch can carry it out of a loading process."""

from pipeline.errors import PipelineError


class TrainingManifestError(PipelineError):
    """A training manifest does not verify, is malformed, or is not what the releases hold."""

    reason = "training_manifest_invalid"


class ManifestExpiredError(TrainingManifestError):
    """The end of use that a training manifest states has passed."""

    reason = "training_manifest_expired"


class ReleaseEndedError(PipelineError):
    """The gate no longer lets a release be read: its grant ended or it was revoked. Its shards are wiped."""

    reason = "release_ended"


class LeaseError(PipelineError):
    """The gate cannot answer now whether a release may be read: nothing is read and nothing is wiped."""

    reason = "lease_unavailable"


class LabelFileError(PipelineError):
    """A file of labels is malformed, names unknown classes or pictures, or says wrong sizes."""

    reason = "label_file_invalid"


class ShardError(PipelineError):
    """A shard is missing, was altered, or belongs to something else."""

    reason = "shard_unusable"


class StateError(PipelineError):
    """A saved position is malformed or of another run."""

    reason = "state_unusable"


class CheckpointError(PipelineError):
    """A checkpoint is malformed, or is not the file that was registered."""

    reason = "checkpoint_unusable"


class PredictionFileError(PipelineError):
    """A file of labels or predictions for evaluation is malformed or does not fit the other."""

    reason = "prediction_file_invalid"


class DetectorError(PipelineError):
    """The model, its weights or what it is trained on cannot be used for a detector."""

    reason = "detector_unusable"


class RunError(PipelineError):
    """A folder of a training run is in use, or is of a run with other parameters."""

    reason = "run_unusable"


class DivergedError(PipelineError):
    """The loss of a training is no number any more; the checkpoint before stays."""

    reason = "training_diverged"


class RayTrainingError(PipelineError):
    """A training by Ray Train did not come to its end."""

    reason = "ray_training_failed"
