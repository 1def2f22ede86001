"""Errors of labels."""

from pipeline.errors import PipelineError


class LabelOntologyError(PipelineError):
    """An ontology of labels is malformed, or a label says what its ontology does not have."""

    reason = "label_ontology_invalid"


class LabelError(PipelineError):
    """A label, an object or a frame is none: geometry, size, source, or an id that is taken or unknown."""

    reason = "label_invalid"


class OpenLabelError(PipelineError):
    """A document is no OpenLABEL 1.0, or none that says which release, items and ontology it rests on."""

    reason = "openlabel_invalid"


class ExchangeError(PipelineError):
    """A file of labels in another format is malformed, or does not fit the frames or the ontology."""

    reason = "label_exchange_invalid"


class AgreementError(PipelineError):
    """Label sets cannot be compared: other frames, another ontology, or nothing in common."""

    reason = "label_sets_incomparable"


class TaskError(PipelineError):
    """A labelling task is not what is asked for, or cannot be used in this way now."""

    reason = "label_task_invalid"


class LabelStoreError(PipelineError):
    """The folder of labelling tasks cannot be used, or something in it was altered or removed."""

    reason = "label_store_unusable"


class TaskOverError(PipelineError):
    """A labelling task has expired or was closed: nothing of it is shown any more."""

    reason = "label_task_over"


class LabelReleaseEndedError(PipelineError):
    """The gate no longer lets the task's release be read; the work is kept, sealed, and nothing is shown."""

    reason = "release_ended"


class GateSilentError(PipelineError):
    """The gate cannot answer now whether the release may be read: nothing is shown, nothing is lost."""

    reason = "gate_unavailable"


class NotAdmittedError(PipelineError):
    """A person has no session, or it has ended."""

    reason = "not_admitted"


class NotPermittedError(PipelineError):
    """A person of the task asks for what is not theirs."""

    reason = "not_permitted"


class NoSuchFrameError(PipelineError):
    """The task has no such frame."""

    reason = "no_such_frame"


class PictureError(PipelineError):
    """A released item cannot be decoded as a picture."""

    reason = "picture_unreadable"


class DetectorError(PipelineError):
    """A detector cannot be used: another file than named, no such task, or classes that the ontology lacks."""

    reason = "detector_unusable"


class FrameTokenError(PipelineError):
    """A token of a picture is unknown, was used, has expired or belongs to another session."""

    reason = "frame_token_invalid"


class TooManyViewsError(PipelineError):
    """A person asks for more pictures in a minute than anybody labels."""

    reason = "too_many_views"


class SaveConditionError(PipelineError):
    """A save does not say which revision it rests on."""

    reason = "revision_missing"
