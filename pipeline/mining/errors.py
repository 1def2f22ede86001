"""Errors of mining."""

from pipeline.errors import PipelineError


class TriggerFileError(PipelineError):
    """A file of triggers is malformed, or says something that cannot be evaluated."""

    reason = "trigger_file_invalid"


class SignalError(PipelineError):
    """Signals are malformed: columns of different lengths, unknown columns, values that are no numbers."""

    reason = "signals_invalid"


class SignalFileError(PipelineError):
    """A file that maps channels to signals is malformed, or names what the DBC or the item does not have."""

    reason = "signal_file_invalid"


class UnreadableItemError(PipelineError):
    """A released item is not what its name says."""

    reason = "item_unreadable"


class OntologyError(PipelineError):
    """A vocabulary of tags is malformed."""

    reason = "ontology_invalid"


class TagFileError(PipelineError):
    """A file of tags is malformed, or names pictures or tags that are not there."""

    reason = "tag_file_invalid"


class QuestionError(PipelineError):
    """A search cannot be made as it was asked for."""

    reason = "question_invalid"


class IndexFileError(PipelineError):
    """An index of pictures does not open, or is of another version."""

    reason = "index_unusable"


class ModelError(PipelineError):
    """A model of text or of pictures is missing, not the file that its digest says, or not whole."""

    reason = "model_unusable"
