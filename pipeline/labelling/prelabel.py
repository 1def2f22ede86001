"""Pre-labels: what a detector finds in released frames, in memory, put before people as its proposal."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped]

from pipeline.client import GatewayClient
from pipeline.labelling.detector import Detection, OnnxDetector, overlap
from pipeline.labelling.editing import hold_against_ontology, kept_label
from pipeline.labelling.errors import DetectorError
from pipeline.labelling.label_set import Label, LabelledFrame, LabelledObject
from pipeline.labelling.lease import ending
from pipeline.labelling.ontology import GeometryKind
from pipeline.labelling.store import NONE_YET, Conflict, TaskFolder
from pipeline.labelling.task import OBJECTS, LabelTask, frame_document, objects_of
from pipeline.labelling.watermark import decoded
from pipeline.sealed_cache import SealedCache

SAME_OBJECT: Final = 0.3
"""Overlap with a box of the frame before, from which on both are taken for one object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prelabelled:
    """What a run did.

    Attributes:
        frames: Frames that it labelled.
        kept: Frames that somebody had saved before, which it left alone.
        labels: Labels by class.
        unused: Detections by classes of the model that stand for none of the ontology.
    """

    frames: int
    kept: int
    labels: Mapping[str, int]
    unused: Mapping[str, int]


def class_map(detector: OnnxDetector, task: LabelTask, given: Mapping[str, str]) -> dict[str, str]:
    """Which class of the ontology each class of the model stands for: as given, else that of its name.

    Raises:
        DetectorError: A name is none of the model's or of the ontology's, the class has no boxes, or none is left.
    """
    known = set(detector.names.values())
    if unknown := sorted(set(given) - known):
        raise DetectorError(f"classes of the model (got {unknown}, expected of {sorted(known)})")
    wanted = {name: given.get(name, name.lower().replace(" ", "_")) for name in known}
    found = {}
    for name, label_class in wanted.items():
        there = task.ontology.classes.get(label_class)
        if there is not None and GeometryKind.BBOX in there.geometry:
            found[name] = label_class
        elif name in given:
            raise DetectorError(
                f"class for {name!r} (got {label_class!r}, expected one of the ontology with boxes)"
            )
    if not found:
        raise DetectorError(f"classes of the model (got {sorted(known)}, none is of the ontology; name them)")
    return found


def prelabel(
    folder: TaskFolder,
    task: LabelTask,
    source: GatewayClient | SealedCache,
    detector: OnnxDetector,
    *,
    classes: Mapping[str, str],
    confidence: float,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Prelabelled:
    """Label the frames of a task that nobody saved yet; a broken run goes on where it stopped.

    Boxes that overlap one of the same class in the frame before, in the same sequence, are of its object.

    Raises:
        LabelReleaseEndedError: The gate refuses; what was labelled is kept.
        GateSilentError: It cannot answer now; the same.
        DetectorError: The model answers in another form.
        PictureError: A frame cannot be decoded.
        LabelStoreError: The folder cannot be written.
    """
    labels: Counter[str] = Counter()
    unused: Counter[str] = Counter()
    done = kept = 0
    before: list[tuple[str, str, Any]] = []
    sequence = None
    for number, frame in enumerate(task.frames):
        progress(number, len(task.frames))
        before = before if frame.sequence == sequence else []
        sequence = frame.sequence
        if folder.last(frame_document(number)) is not None:
            kept += 1
            before = []
            continue
        with ending(task.release):
            content = source.read(task.release, frame.item)
        found = detector.find(decoded(content), confidence)
        unused.update(each.name for each in found if each.name not in classes)
        wanted = [each for each in found if each.name in classes]
        before = _placed(folder, task, wanted, classes, before)
        made = [
            _label(frame, each, object_id, detector)
            for each, (object_id, _, _) in zip(wanted, before, strict=True)
        ]
        if _saved(folder, task, number, made):
            done += 1
            labels.update(label_class for _, label_class, _ in before)
        else:
            kept += 1
    progress(len(task.frames), len(task.frames))
    return Prelabelled(frames=done, kept=kept, labels=dict(labels), unused=dict(unused))


def _placed(
    folder: TaskFolder,
    task: LabelTask,
    found: list[Detection],
    classes: Mapping[str, str],
    before: list[tuple[str, str, Any]],
) -> list[tuple[str, str, Any]]:
    """Object, class and extent of each detection: objects of the frame before go on, others are new."""
    shares = np.array(
        [
            [
                overlap(each.box.extent, extent) if classes[each.name] == label_class else 0.0
                for _, label_class, extent in before
            ]
            for each in found
        ]
    ).reshape(len(found), len(before))
    matched = {
        int(row): before[int(column)][0]
        for row, column in zip(*linear_sum_assignment(-shares), strict=True)
        if shares[row, column] >= SAME_OBJECT
    }
    added = [classes[each.name] for at, each in enumerate(found) if at not in matched]
    fresh = iter(_new_objects(folder, task, added))
    return [
        (matched.get(at) or next(fresh), classes[each.name], each.box.extent) for at, each in enumerate(found)
    ]


def _new_objects(folder: TaskFolder, task: LabelTask, classes: list[str]) -> list[str]:
    if not classes:
        return []

    def change(known: dict[str, str] | None) -> dict[str, str]:
        first = max(map(int, known or ()), default=0) + 1
        return {**(known or {}), **{str(first + at): each for at, each in enumerate(classes)}}

    return list(folder.amend(OBJECTS, change, by=task.owner).value)[-len(classes) :]


def _label(frame: LabelledFrame, found: Detection, object_id: str, detector: OnnxDetector) -> Label:
    return Label(
        item=frame.item,
        object_id=object_id,
        geometry=found.box,
        source=f"model@sha256:{detector.digest}",
        confidence=found.confidence,
    )


def _saved(folder: TaskFolder, task: LabelTask, number: int, made: list[Label]) -> bool:
    frame = task.frames[number]
    known: tuple[LabelledObject, ...] = objects_of(folder)
    labels = hold_against_ontology(
        [{**kept_label(each), "reason": None} for each in made],
        frame=frame,
        objects=known,
        ontology=task.ontology,
        lineage=task.lineage(),
    )
    saved = folder.save(frame_document(number), {"labels": labels}, based_on=NONE_YET, by=task.owner)
    return not isinstance(saved, Conflict)
