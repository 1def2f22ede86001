"""The review queue on injected errors: does it put wrong labels, and frames that have them, before right ones?

    python benchmarks/label_review.py [--frames 400] [--seeds 5] [--data ../shared/data/media] [--limit 150]

Labels get errors of four kinds, each in a share of them: removed, invented, shifted by a quarter to a half of
their size, of another class. The queue ranks them by what a second label set says of the same frames, which has
errors of its own: a simulated annotator, a simulated model, and, with --data, the embedded detectors on labelled
photographs (whose labels are incomplete, which counts against the queue). The figure is AUROC: the chance that an
error stands before what is none. It is told for each kind, for all, and for frames.
"""

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from pipeline.labelling.geometry import BoundingBox
from pipeline.labelling.label_set import (
    Label,
    LabelledFrame,
    LabelledObject,
    LabelSet,
    Lineage,
    new_label_set,
)
from pipeline.labelling.ontology import LabelOntology, read_label_ontology, shipped_label_ontology
from pipeline.labelling.review_queue import Disagreement, review_queue

_LINEAGE = Lineage(release="rel-benchmark", release_digest="0" * 64, code="benchmark")
_PERSON, _MODEL = "person:wu", f"model@sha256:{'1' * 64}"
_CLASSES = {"car": 0.55, "truck": 0.1, "van": 0.1, "bus": 0.05, "pedestrian": 0.12, "bicycle": 0.08}
_ALIKE = {
    "car": "van",
    "van": "car",
    "truck": "bus",
    "bus": "truck",
    "pedestrian": "bicycle",
    "bicycle": "pedestrian",
    "face": "plate",
    "plate": "face",
}
_FACES = b"""format: fleetgate-label-ontology
name: masked
version: 1
classes:
  face: {zh: \xe4\xba\xba\xe8\x84\xb8, en: face, geometry: [bbox]}
  plate: {zh: \xe8\xbd\xa6\xe7\x89\x8c, en: plate, geometry: [bbox]}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A box that is there, or that somebody says is there."""

    label_class: str
    box: tuple[float, float, float, float]
    confidence: float | None = None
    error: Disagreement | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """A picture's size and the boxes in it."""

    size: tuple[int, int]
    boxes: tuple[Drawn, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Second:
    """Who labels the frames a second time.

    Attributes:
        small: Share of small objects found.
        large: Share of large ones found.
        invented: Boxes of nothing for each that is there.
        jitter: Standard deviation of edges, of the size.
        pixels: The same, in pixels.
        confused: Share of classes that are wrong.
        confident: Whether boxes have confidences.
    """

    small: float
    large: float
    invented: float
    jitter: float
    pixels: float
    confused: float
    confident: bool


SECONDS = {
    "annotator": Second(
        small=0.9, large=0.99, invented=0.02, jitter=0.02, pixels=1.5, confused=0.02, confident=False
    ),
    "model": Second(
        small=0.55, large=0.95, invented=0.15, jitter=0.05, pixels=2.0, confused=0.06, confident=True
    ),
}


def scenes(frames: int, rng: np.random.Generator) -> list[Labelled]:
    """Frames of 1920 x 1080 with a Poisson count of objects, most of them small."""
    found = []
    for _ in range(frames):
        boxes = []
        for name in rng.choice(list(_CLASSES), rng.poisson(7), p=list(_CLASSES.values())):
            height = float(np.clip(rng.lognormal(4.2, 0.7), 14, 700))
            width = height * float(rng.uniform(0.35, 0.5) if name == "pedestrian" else rng.uniform(0.9, 1.8))
            boxes.append(_placed(str(name), width, height, (1920, 1080), rng))
        found.append(Labelled(size=(1920, 1080), boxes=tuple(boxes)))
    return found


def _placed(
    name: str, width: float, height: float, size: tuple[int, int], rng: np.random.Generator, **more: Any
) -> Drawn:
    width, height = min(width, size[0] - 2), min(height, size[1] - 2)
    x, y = rng.uniform(0, size[0] - width), rng.uniform(0, size[1] - height)
    return Drawn(label_class=name, box=(x, y, x + width, y + height), **more)


def noisy(
    box: tuple[float, float, float, float],
    share: float,
    pixels: float,
    size: tuple[int, int],
    rng: np.random.Generator,
) -> tuple[float, float, float, float]:
    """A box with edges that are off by a share of its size and by pixels, inside the picture."""
    spread = np.array([box[2] - box[0], box[3] - box[1]] * 2) * share + pixels
    x0, y0, x1, y1 = np.array(box) + rng.normal(0, 1, 4) * spread
    return _inside((x0, y0, max(x1, x0 + 2), max(y1, y0 + 2)), size)


def _inside(
    box: tuple[float, float, float, float], size: tuple[int, int]
) -> tuple[float, float, float, float]:
    x0, y0 = min(max(box[0], 0), size[0] - 2), min(max(box[1], 0), size[1] - 2)
    return x0, y0, min(max(box[2], x0 + 1), size[0]), min(max(box[3], y0 + 1), size[1])


def with_errors(
    scene: Labelled, share: float, jitter: float, rng: np.random.Generator
) -> tuple[Labelled, list[Drawn]]:
    """What is labelled, and what was removed from it."""
    boxes, removed = [], []
    names = sorted({each.label_class for each in scene.boxes})
    for each in scene.boxes:
        drawn = replace(each, box=noisy(each.box, jitter, 1.5 if jitter else 0, scene.size, rng))
        draw = rng.uniform()
        if draw < share:
            removed.append(replace(each, error=Disagreement.MISSING))
            continue
        if draw < 2 * share:
            drawn = replace(drawn, label_class=_ALIKE[each.label_class], error=Disagreement.WRONG_CLASS)
        elif draw < 3 * share:
            width, height = each.box[2] - each.box[0], each.box[3] - each.box[1]
            angle, reach = rng.uniform(0, 2 * math.pi), rng.uniform(0.25, 0.5)
            dx, dy = width * reach * math.cos(angle), height * reach * math.sin(angle)
            moved = drawn.box[0] + dx, drawn.box[1] + dy, drawn.box[2] + dx, drawn.box[3] + dy
            drawn = replace(drawn, box=_inside(moved, scene.size), error=Disagreement.SHIFTED)
        boxes.append(drawn)
        if rng.uniform() < share:
            width, height = each.box[2] - each.box[0], each.box[3] - each.box[1]
            name = str(rng.choice(names))
            boxes.append(_placed(name, width, height, scene.size, rng, error=Disagreement.EXTRA))
    return replace(scene, boxes=tuple(boxes)), removed


def seen(scene: Labelled, by: Second, rng: np.random.Generator) -> Labelled:
    """What a second party says of a scene."""
    boxes = []
    for each in scene.boxes:
        height = each.box[3] - each.box[1]
        found = by.small + (by.large - by.small) / (1 + math.exp(-(height - 50) / 12))
        if rng.uniform() < found:
            name = _ALIKE[each.label_class] if rng.uniform() < by.confused else each.label_class
            confidence = float(rng.beta(8, 2)) if by.confident else None
            box = noisy(each.box, by.jitter, by.pixels, scene.size, rng)
            boxes.append(Drawn(label_class=name, box=box, confidence=confidence))
        if rng.uniform() < by.invented:
            confidence = float(rng.beta(3, 4)) if by.confident else None
            width, height = each.box[2] - each.box[0], each.box[3] - each.box[1]
            boxes.append(_placed(each.label_class, width, height, scene.size, rng, confidence=confidence))
    return replace(scene, boxes=tuple(boxes))


def label_set(scenes: Sequence[Labelled], ontology: LabelOntology, source: str) -> LabelSet:
    """Scenes as a label set; the number of an object is its place among all."""
    frames, objects, labels = [], [], []
    for number, scene in enumerate(scenes):
        item = f"{number:06d}.png"
        digest = sha256(item.encode()).hexdigest()
        frames.append(LabelledFrame(item=item, sha256=digest, width=scene.size[0], height=scene.size[1]))
        for each in scene.boxes:
            x0, y0, x1, y1 = each.box
            objects.append(LabelledObject(id=str(len(objects)), label_class=each.label_class))
            labels.append(
                Label(
                    item=item,
                    object_id=objects[-1].id,
                    geometry=BoundingBox(x=x0, y=y0, width=x1 - x0, height=y1 - y0),
                    source=source,
                    confidence=each.confidence,
                )
            )
    return new_label_set(ontology, _LINEAGE, frames, objects, labels)


def aurocs(
    scenes: Sequence[Labelled],
    removed: Sequence[Sequence[Drawn]],
    second: Sequence[Labelled],
    ontology: LabelOntology,
) -> dict[str, float]:
    """AUROC by kind of error, of all, and of frames."""
    reviewed, other = label_set(scenes, ontology, _PERSON), label_set(second, ontology, _MODEL)
    errors = [each.error for scene in scenes for each in scene.boxes]
    rows: list[tuple[float, Disagreement | None]] = []
    frames: list[tuple[float, bool]] = []
    for frame in review_queue(reviewed, other):
        number = int(frame.item[:6])
        left = list(removed[number])
        wrong = bool(left)
        for suspect in frame.suspects:
            if suspect.why is Disagreement.MISSING:
                shown = suspect.label.geometry.extent
                hit = next((each for each in left if _overlap(each.box, shown) >= 0.5), None)
                rows.append((suspect.score, None if hit is None else Disagreement.MISSING))
                left = [each for each in left if each is not hit]
            else:
                error = errors[int(suspect.label.object_id)]
                wrong = wrong or error is not None
                rows.append((suspect.score, error))
        rows += [(0.0, Disagreement.MISSING) for _ in left]  # in neither set: the queue cannot know
        frames.append((frame.score, wrong))
    right = [score for score, error in rows if error is None]
    found = {kind.value: _auroc([s for s, error in rows if error is kind], right) for kind in Disagreement}
    found["all"] = _auroc([score for score, error in rows if error is not None], right)
    found["frames"] = _auroc([s for s, wrong in frames if wrong], [s for s, wrong in frames if not wrong])
    return found


def _overlap(a: Sequence[float], b: Sequence[float]) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    common = max(0.0, width) * max(0.0, height)
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return common / (areas - common)


def _auroc(wrong: Sequence[float], right: Sequence[float]) -> float:
    return float(roc_auc_score([1] * len(wrong) + [0] * len(right), [*wrong, *right]))


def simulated(by: Second, frames: int, seed: int, share: float = 0.02) -> dict[str, float]:
    """One run against a simulated second party."""
    rng = np.random.default_rng(seed)
    truth = scenes(frames, rng)
    labelled = [with_errors(each, share, 0.02, rng) for each in truth]
    second = [seen(each, by, rng) for each in truth]
    return aurocs([s for s, _ in labelled], [r for _, r in labelled], second, shipped_label_ontology())


def photographs(data: Path, limit: int) -> tuple[list[Labelled], list[Labelled]]:
    """Labelled photographs of faces and plates, and what the embedded detectors find in them."""
    from PIL import Image  # noqa: PLC0415 - with photographs only

    from anonymize.media.detection import embedded_detectors  # noqa: PLC0415 - the same
    from anonymize.media.labelled import open_labelled  # noqa: PLC0415 - the same

    detectors = embedded_detectors()
    truth, second = [], []
    for name, form, kind in (
        ("faces_maskon", "voc", "face"),
        ("plates_cn_easypr", "easypr", "plate"),
        ("plates_openalpr_us", "openalpr", "plate"),
        ("plates_eu_dashcam", "voc", "plate"),
    ):
        images = open_labelled(data / name, form).images
        for each in images[:limit]:
            with Image.open(each.path) as opened:
                picture = np.asarray(opened.convert("RGB"), dtype=np.uint8)
            size = picture.shape[1], picture.shape[0]
            boxes = [_inside(b.box, size) for b in each.boxes if not b.ignore]
            if not boxes:
                continue
            truth.append(Labelled(size=size, boxes=tuple(Drawn(label_class=kind, box=b) for b in boxes)))
            found = [f for d in detectors for f in d.detect(picture, threshold=0.3)]
            second.append(
                Labelled(
                    size=size,
                    boxes=tuple(
                        Drawn(
                            label_class=f.kind.value,
                            box=_inside((f.where.x0, f.where.y0, f.where.x1, f.where.y1), size),
                            confidence=f.confidence,
                        )
                        for f in found
                        if f.kind.value in {"face", "plate"}
                    ),
                )
            )
    return truth, second


def on_photographs(data: Path, limit: int, seeds: int, share: float = 0.04) -> list[dict[str, float]]:
    """Runs with errors drawn anew, on one pass of the detectors."""
    truth, second = photographs(data, limit)
    ontology = read_label_ontology(_FACES)
    runs = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        labelled = [with_errors(each, share, 0.0, rng) for each in truth]
        runs.append(aurocs([s for s, _ in labelled], [r for _, r in labelled], second, ontology))
    return runs


def main() -> None:
    """Print a row of AUROCs for each second party."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--data", type=Path, help="labelled photographs: ../shared/data/media")
    parser.add_argument("--limit", type=int, default=150, help="photographs of each set")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    runs = {
        name: [simulated(by, arguments.frames, seed) for seed in range(arguments.seeds)]
        for name, by in SECONDS.items()
    }
    if arguments.data:
        runs["detectors"] = on_photographs(arguments.data, arguments.limit, arguments.seeds)
    answer = {
        name: {key: [min(r[key] for r in rows), float(np.mean([r[key] for r in rows]))] for key in rows[0]}
        for name, rows in runs.items()
    }
    if arguments.json:
        print(json.dumps(answer))
        return
    for name, row in answer.items():
        print(
            f"{name:10} "
            + "  ".join(f"{key} {mean:.3f} (worst {low:.3f})" for key, (low, mean) in row.items())
        )


if __name__ == "__main__":
    main()
