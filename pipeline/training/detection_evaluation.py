"""Detectors on labelled pictures, scenario by scenario: mean average precision, and one model against another.

Average precision is that of COCO: at 10 overlaps from .50 to .95, precision at 101 recalls, the 100 best boxes of
a picture. Two models are held against each other by a paired bootstrap over pictures, one-sided, with Holm's
correction over scenarios. Interval and test come of the same resamples.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipeline.training.errors import PredictionFileError
from pipeline.training.evaluation import ALL, Verdict, holm, json_lines
from pipeline.training.labels import LabelFile, PictureLabels

OVERLAPS: Final = np.arange(0.5, 0.96, 0.05)
LEAST_PICTURES: Final = 20
"""A scenario of fewer pictures has no verdict: a bootstrap over so few says nothing."""

_RECALLS: Final = np.linspace(0, 1, 101)
_MOST_BOXES: Final = 100

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """A box that a detector found: pixels, origin at the upper left."""

    label: str
    x: float
    y: float
    width: float
    height: float
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """Boxes of a model on a list of pictures, each held against the labels.

    Attributes:
        pictures: How many pictures.
        picture: Place of the picture of each box.
        label: Class of each box.
        right: ``(boxes, overlaps)``: whether it is the box of a label that no better one took.
        labelled: Boxes of each class that each picture is labelled with.

    Boxes are sorted by score, best first.
    """

    pictures: int
    picture: NDArray[np.intp]
    label: NDArray[np.str_]
    right: NDArray[np.bool_]
    labelled: Mapping[str, Numbers]


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """Mean over classes in a scenario; None where it has no labelled box.

    Attributes:
        tag: The scenario, or ``all``.
        pictures: How many.
        map50_95: Mean over overlaps.
        map50: At an overlap of .50.
    """

    tag: str
    pictures: int
    map50_95: float | None
    map50: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecisionComparison:
    """Two detectors in one scenario, by mean average precision over all overlaps.

    Attributes:
        tag: The scenario, or ``all``.
        pictures: How many.
        before: Of the old model; None where no box is labelled.
        after: Of the new one.
        low: Lower end of the interval of the difference, new less old.
        high: Its upper end.
        p_worse: Share of resamples in which the new one is not worse, corrected for the count of scenarios.
        verdict: As in ``evaluation``; with fewer than ``LEAST_PICTURES`` always ``undecided``.
    """

    tag: str
    pictures: int
    before: float | None
    after: float | None
    low: float
    high: float
    p_worse: float
    verdict: Verdict


def read_tags(content: bytes, pictures: Mapping[str, object] | None = None) -> dict[str, tuple[str, ...]]:
    """Scenarios of pictures as JSON Lines, ``{"sample": …, "tags": [ … ]}``; who is not listed has none.

    Args:
        content: The file.
        pictures: Pictures that it may list; by default any.

    Raises:
        PredictionFileError: A line is malformed, or a sample comes twice or is none of the pictures.
    """
    found: dict[str, tuple[str, ...]] = {}
    for number, entry in json_lines(content, "tags"):
        sample, tags = entry.get("sample"), entry.get("tags")
        if not isinstance(tags, list) or ALL in tags or not all(isinstance(t, str) and t for t in tags):
            raise PredictionFileError(f"tags line {number} (got {tags!r}, expected texts other than {ALL!r})")
        unknown = pictures is not None and sample not in pictures
        if not isinstance(sample, str) or unknown or sample in found:
            raise PredictionFileError(
                f"tags line {number}: sample (got {sample!r}, expected a labelled one, once)"
            )
        found[sample] = tuple(sorted(set(tags)))
    return found


def require_same_pictures(before: Mapping[str, object], after: Mapping[str, object]) -> None:
    """Refuse predictions of two models on other pictures.

    Raises:
        PredictionFileError: A picture is in one of both only.
    """
    if missing := sorted(set(before) ^ set(after)):
        raise PredictionFileError(
            f"predictions (got {len(missing)} pictures in one file only, expected the same; the first is "
            f"{missing[0]!r})"
        )


def read_detections(content: bytes, labels: LabelFile) -> dict[str, tuple[Detection, ...]]:
    """Boxes of a detector as JSON Lines, one line for a picture.

    ``{"sample": …, "release": …, "boxes": [{"class", "x", "y", "width", "height", "score"}]}``. ``release``
    may be left out; a sample is known by its name or by ``release/name``, as the labels have it.

    Raises:
        PredictionFileError: A line is malformed, a sample comes twice or is not labelled, or a class is unknown.
    """
    found: dict[str, tuple[Detection, ...]] = {}
    for number, entry in json_lines(content, "predictions"):
        names = {str(entry.get("sample")), f"{entry.get('release')}/{entry.get('sample')}"} & set(
            labels.pictures
        )
        if len(names) != 1 or (name := names.pop()) in found:
            raise PredictionFileError(
                f"predictions line {number}: sample (got {entry.get('sample')!r}, expected a labelled one, once)"
            )
        try:
            boxes = tuple(
                Detection(
                    label=str(each["class"]),
                    **{field: float(each[field]) for field in ("x", "y", "width", "height", "score")},
                )
                for each in entry["boxes"]
            )
        except (KeyError, TypeError, ValueError) as error:
            raise PredictionFileError(
                f"predictions line {number}: {type(error).__name__}: {error}"
            ) from error
        if unknown := sorted({box.label for box in boxes} - set(labels.classes)):
            raise PredictionFileError(
                f"predictions line {number}: classes (got {unknown}, expected of {list(labels.classes)})"
            )
        if not np.isfinite([(b.x, b.y, b.width, b.height, b.score) for b in boxes]).all():
            raise PredictionFileError(f"predictions line {number}: a box is not of numbers")
        found[name] = boxes
    return found


def detections_line(sample: str, release: str, boxes: Sequence[Detection]) -> str:
    """A line that ``read_detections`` reads."""
    said = [
        {"class": b.label, "x": b.x, "y": b.y, "width": b.width, "height": b.height, "score": b.score}
        for b in boxes
    ]
    return json.dumps({"sample": sample, "release": release, "boxes": said}, ensure_ascii=False)


def score(labels: Sequence[PictureLabels], detections: Sequence[Sequence[Detection]]) -> Scored:
    """Hold boxes against labels, picture by picture: the best first, each label taken once.

    Args:
        labels: Of each picture.
        detections: What was found in each.
    """
    classes = sorted({box.label for each in labels for box in each.boxes})
    labelled = {
        name: np.array([sum(b.label == name for b in each.boxes) for each in labels], dtype=np.float64)
        for name in classes
    }
    pictures: list[int] = []
    names: list[str] = []
    scores: list[float] = []
    right = [np.zeros((0, len(OVERLAPS)), dtype=bool)]
    for place, (truth, found) in enumerate(zip(labels, detections, strict=True)):
        for name in sorted({box.label for box in found}):
            mine = sorted((b for b in found if b.label == name), key=lambda b: -b.score)[:_MOST_BOXES]
            right.append(_taken(mine, [b for b in truth.boxes if b.label == name]))
            pictures += [place] * len(mine)
            names += [name] * len(mine)
            scores += [b.score for b in mine]
    order = np.argsort(-np.array(scores, dtype=np.float64), kind="stable")
    return Scored(
        pictures=len(labels),
        picture=np.array(pictures, dtype=np.intp)[order],
        label=np.array(names, dtype=np.str_)[order],
        right=np.vstack(right)[order],
        labelled=labelled,
    )


def mean_precision(scored: Scored, weights: Numbers | None = None) -> Numbers | None:
    """Average precision at each overlap, mean over the classes that are labelled; None where none is.

    Args:
        scored: Boxes held against labels.
        weights: How often each picture counts; by default once.
    """
    weights = np.ones(scored.pictures) if weights is None else weights
    of_classes = []
    for name, counts in scored.labelled.items():
        positive = float(counts @ weights)
        if positive > 0:
            mine = scored.label == name
            of_classes.append(_precisions(scored.right[mine], weights[scored.picture[mine]], positive))
    return np.mean(of_classes, axis=0) if of_classes else None


def by_tag(names: Sequence[str], scored: Scored, tags: Mapping[str, Sequence[str]]) -> tuple[Precision, ...]:
    """Mean average precision of all pictures, then of each scenario by name."""
    rows = []
    for tag, weights in _scenarios(names, tags).items():
        precision = mean_precision(scored, weights)
        rows.append(
            Precision(
                tag=tag,
                pictures=int(weights.sum()),
                map50_95=None if precision is None else float(precision.mean()),
                map50=None if precision is None else float(precision[0]),
            )
        )
    return tuple(rows)


def compare_detectors(
    names: Sequence[str],
    before: Scored,
    after: Scored,
    tags: Mapping[str, Sequence[str]],
    *,
    confidence: float = 0.95,
    tolerance: float = 0.02,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[PrecisionComparison, ...]:
    """Hold a new detector against an old one in every scenario; the worst come first after ``all``.

    Args:
        names: The pictures, in the order of both.
        before: Of the old model.
        after: Of the new one.
        tags: Scenarios of the pictures.
        confidence: Of intervals; one less it is the level of the test.
        tolerance: Loss of mean average precision that does not matter.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.

    Raises:
        ValueError: Confidence, tolerance or resamples are out of range.
    """
    if not 0.5 < confidence < 1 or not 0 <= tolerance < 1 or resamples < 100:  # noqa: PLR2004 - bounds of shares
        raise ValueError(
            f"confidence, tolerance and resamples (got {confidence}, {tolerance} and {resamples}, expected in "
            "(0.5, 1), [0, 1) and at least 100)"
        )
    generator = np.random.default_rng(seed)
    scenarios = _scenarios(names, tags)
    differences = {
        tag: _differences(before, after, weights, resamples, generator) for tag, weights in scenarios.items()
    }
    chances = holm({tag: (1 + int((d >= 0).sum())) / (1 + len(d)) for tag, d in differences.items()})
    rows = []
    for tag, weights in scenarios.items():
        edges = (1 - confidence) / 2, (1 + confidence) / 2
        low, high = (
            (float(q) for q in np.quantile(differences[tag], edges)) if len(differences[tag]) else (-1.0, 1.0)
        )
        old, new = (_mean(mean_precision(each, weights)) for each in (before, after))
        if weights.sum() < LEAST_PICTURES or old is None:
            verdict = Verdict.UNDECIDED
        elif chances[tag] < 1 - confidence:
            verdict = Verdict.REGRESSED
        else:
            verdict = Verdict.HELD if low >= -tolerance else Verdict.UNDECIDED
        rows.append(
            PrecisionComparison(
                tag=tag,
                pictures=int(weights.sum()),
                before=old,
                after=new,
                low=low,
                high=high,
                p_worse=chances[tag],
                verdict=verdict,
            )
        )
    return tuple(
        sorted(rows, key=lambda row: (row.tag != ALL, (row.after or 0) - (row.before or 0), row.tag))
    )


def _scenarios(names: Sequence[str], tags: Mapping[str, Sequence[str]]) -> dict[str, Numbers]:
    wanted = sorted({tag for name in names for tag in tags.get(name, ())})
    members = {
        tag: np.array([tag in tags.get(name, ()) for name in names], dtype=np.float64) for tag in wanted
    }
    return {ALL: np.ones(len(names)), **members}


def _differences(
    before: Scored, after: Scored, members: Numbers, resamples: int, generator: np.random.Generator
) -> Numbers:
    """Difference, new less old, in resamples of the members; empty where no box is labelled."""
    places = np.flatnonzero(members)
    found = []
    for _ in range(resamples if len(places) else 0):
        drawn = generator.choice(places, size=len(places), replace=True)
        weights = np.bincount(drawn, minlength=len(members)).astype(np.float64)
        old, new = _mean(mean_precision(before, weights)), _mean(mean_precision(after, weights))
        if old is not None and new is not None:
            found.append(new - old)
    return np.array(found, dtype=np.float64)


def _mean(precision: Numbers | None) -> float | None:
    return None if precision is None else float(precision.mean())


def _precisions(right: NDArray[np.bool_], weights: Numbers, positive: float) -> Numbers:
    """Average precision of one class at each overlap; boxes are sorted, best first."""
    if not len(right):
        return np.zeros(len(OVERLAPS))
    hits = np.cumsum(right * weights[:, None], axis=0)
    taken = np.maximum(np.cumsum(weights), np.finfo(np.float64).tiny)[:, None]
    recall, precision = hits / positive, hits / taken
    envelope = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    found = np.zeros(len(OVERLAPS))
    for place in range(len(OVERLAPS)):
        at = np.searchsorted(recall[:, place], _RECALLS - 1e-9, side="left")
        found[place] = np.append(envelope[:, place], 0.0)[at].mean()
    return found


def _taken(found: Sequence[Detection], truth: Sequence[Any]) -> NDArray[np.bool_]:
    """Which boxes of one class take a label, at each overlap; the best box chooses first."""
    right = np.zeros((len(found), len(OVERLAPS)), dtype=bool)
    if not found or not truth:
        return right
    overlaps = _overlaps(_corners(found), _corners(truth))
    for place, least in enumerate(OVERLAPS):
        free = np.ones(len(truth), dtype=bool)
        for box in range(len(found)):
            best = int(np.argmax(np.where(free, overlaps[box], -1.0)))
            if free[best] and overlaps[box, best] >= least - 1e-9:
                right[box, place], free[best] = True, False
    return right


def _corners(boxes: Sequence[Any]) -> Numbers:
    return np.array([(b.x, b.y, b.x + b.width, b.y + b.height) for b in boxes], dtype=np.float64)


def _overlaps(left: Numbers, right: Numbers) -> Numbers:
    """Intersection over union of each pair."""
    upper = np.maximum(left[:, None, :2], right[None, :, :2])
    lower = np.minimum(left[:, None, 2:], right[None, :, 2:])
    shared = np.prod(np.maximum(lower - upper, 0), axis=2)
    areas = [np.prod(np.maximum(each[:, 2:] - each[:, :2], 0), axis=1) for each in (left, right)]
    union = areas[0][:, None] + areas[1][None, :] - shared
    return np.asarray(shared / np.maximum(union, np.finfo(np.float64).tiny), dtype=np.float64)
