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
