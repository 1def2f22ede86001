"""What a save of a frame makes of its labels: who is their source, what becomes of reviews. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from pipeline.labelling.errors import LabelError, NotPermittedError
from pipeline.labelling.label_set import (
    Label,
    LabelKey,
    LabelledFrame,
    LabelledObject,
    Lineage,
    ReviewState,
    as_person,
    label_document,
    new_label_set,
)
from pipeline.labelling.ontology import GeometryKind, LabelOntology
from pipeline.labelling.task import geometry_of, stored_label

MAX_LABELS = 2000
MAX_REASON = 500


def edited(
    before: Iterable[Mapping[str, Any]], sent: Any, *, frame: LabelledFrame, person: str
) -> list[dict[str, Any]]:
    """The labels of a frame after an annotator's save, as they are kept.

    A label that is as it was keeps its source, confidence, review and the reviewer's reason. One that is new,
    changed, or that the person confirms, is the person's own, set here, and open for review.

    Args:
        before: Labels as they were kept.
        sent: What the page sent: a list of ``object``, ``geometry``, ``attributes`` and ``confirmed``.
        frame: The frame.
        person: The annotator.

    Raises:
        LabelError: What was sent is no list of labels, or has one twice.
    """
    if not isinstance(sent, list) or len(sent) > MAX_LABELS:
        raise LabelError(f"labels (expected a list of at most {MAX_LABELS})")
    known = {stored_label(frame.item, value).at: value for value in before}
    made: dict[LabelKey, dict[str, Any]] = {}
    for each in sent:
        label = _sent(each, frame, person)
        if label.at in made:
            raise LabelError(
                f"object {label.object_id!r} (got a second {label.geometry.kind.value} in one frame)"
            )
        kept = known.get(label.at)
        if kept is not None and not each.get("confirmed", False):
            was = stored_label(frame.item, kept)
            if (was.geometry, dict(was.attributes)) == (label.geometry, dict(label.attributes)):
                made[label.at] = dict(kept)
                continue
        made[label.at] = {**kept_label(label), "reason": None}
    return list(made.values())


def reviewed(
    before: Iterable[Mapping[str, Any]], sent: Any, *, frame: LabelledFrame, person: str
) -> list[dict[str, Any]]:
    """The labels of a frame after a reviewer's verdicts, as they are kept.

    Args:
        before: Labels as they were kept.
        sent: Verdicts: a list of objects with ``object``, ``kind``, ``review`` and ``reason``.
        frame: The frame.
        person: The reviewer.

    Raises:
        LabelError: What was sent is no list of verdicts, a label is not there, or a rejection has no reason.
    """
    if not isinstance(sent, list):
        raise LabelError("verdicts (expected a list)")
    kept = {stored_label(frame.item, value).at: dict(value) for value in before}
    for each in sent:
        try:
            at = (frame.item, str(each["object"]), GeometryKind(each["kind"]))
            state, reason = ReviewState(each["review"]), each.get("reason") or None
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise LabelError(f"verdict (got {type(error).__name__}: {error})") from error
        if at not in kept:
            raise LabelError(f"label (got {at[2].value} of object {at[1]!r}, expected one of the frame)")
        if state is ReviewState.REJECTED and not (isinstance(reason, str) and reason.strip()):
            raise LabelError("reason (got none, expected why the label is rejected)")
        if reason is not None and (not isinstance(reason, str) or len(reason) > MAX_REASON):
            raise LabelError(f"reason (expected a text of at most {MAX_REASON} characters)")
        reviewer = None if state is ReviewState.OPEN else person
        label = replace(stored_label(frame.item, kept[at]), review=state, reviewer=reviewer)
        kept[at] = {**kept_label(label), "reason": reason}
    return list(kept.values())


def hold_against_ontology(
    labels: Iterable[Mapping[str, Any]],
    *,
    frame: LabelledFrame,
    objects: Iterable[LabelledObject],
    ontology: LabelOntology,
    lineage: Lineage,
) -> list[dict[str, Any]]:
    """The labels of a frame with their attributes in their types, checked as a label set of that frame.

    Raises:
        LabelError: An object is unknown, or a shape is not inside the frame.
        LabelOntologyError: A class has no such kind or attribute.
    """
    said = [(stored_label(frame.item, value), value.get("reason")) for value in labels]
    checked = new_label_set(ontology, lineage, [frame], objects, [label for label, _ in said])
    return [{**kept_label(checked.labels[label.at]), "reason": reason} for label, reason in said]


def kept_label(label: Label) -> dict[str, Any]:
    """A label as it is kept in the document of its frame, which names the item."""
    return {name: value for name, value in label_document(label).items() if name != "item"}


def refuse_unless(role: str, wanted: str) -> None:
    """Hold a person's part in a task against what an act asks for.

    Raises:
        NotPermittedError: It is another.
    """
    if role != wanted:
        raise NotPermittedError(f"part in the task (got {role!r}, expected {wanted!r})")


def _sent(value: Any, frame: LabelledFrame, person: str) -> Label:
    try:
        attributes = value["attributes"]
        if not isinstance(attributes, dict):
            raise LabelError(f"attributes (got {type(attributes).__name__}, expected names and values)")
        return Label(
            item=frame.item,
            object_id=str(value["object"]),
            geometry=geometry_of(value["geometry"]),
            source=as_person(person),
            attributes=attributes,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise LabelError(
            f"label (got {type(error).__name__}: {error}, expected object, geometry, attributes)"
        ) from error
