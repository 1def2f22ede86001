"""How far two label sets of the same frames agree: found objects, classes, attributes."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sklearn.metrics import cohen_kappa_score  # type: ignore[import-untyped]

from pipeline.labelling.errors import AgreementError
from pipeline.labelling.label_set import Label, LabelSet, ReviewState
from pipeline.labelling.ontology import GeometryKind
from pipeline.labelling.overlap import matched

THRESHOLDS: Final = (0.5, 0.75, 0.9)
LEAST_OVERLAP: Final = 0.1
_EVEN: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two labels that mean one object, of the first and the second set, and the overlap of their shapes."""

    first: Label
    second: Label
    first_class: str
    second_class: str
    overlap: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameMatch:
    """Labels of one frame: pairs, and what only one of both sets has."""

    item: str
    pairs: tuple[Pair, ...]
    only_first: tuple[Label, ...]
    only_second: tuple[Label, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Objects of one class and enough overlap, the second set held against the first.

    Attributes:
        threshold: Overlap (intersection over union) from which a pair counts.
        true: Pairs that count.
        first: Labels of the first set.
        second: Labels of the second set.
    """

    threshold: float
    true: int
    first: int
    second: int

    @property
    def precision(self) -> float | None:
        """Share of the second set's labels that the first has; None where it has none."""
        return self.true / self.second if self.second else None

    @property
    def recall(self) -> float | None:
        """Share of the first set's labels that the second has; None where it has none."""
        return self.true / self.first if self.first else None

    @property
    def f1(self) -> float | None:
        """Their harmonic mean, the same whichever set comes first; None where both sets are empty."""
        return 2 * self.true / (self.first + self.second) if self.first + self.second else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Same:
    """An attribute over matched labels: pairs where one of both states it, and where both state the same."""

    pairs: int
    same: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How far two label sets agree.

    Attributes:
        frames: Frames that were compared.
        kind: Kind of geometry.
        found: Objects found, by threshold.
        overlap: Mean overlap of pairs; None without pairs.
        kappa: Cohen's kappa of the classes of pairs that overlap by half or more; None where it is not defined: no
            pairs, or one class only.
        confused: Counts of classes of pairs that differ, first and second, the most frequent first.
        attributes: Agreement on attributes of pairs of one class, by name.
        matches: What it comes from, frame by frame.
    """

    frames: int
    kind: GeometryKind
    found: tuple[Found, ...]
    overlap: float | None
    kappa: float | None
    confused: Mapping[tuple[str, str], int]
    attributes: Mapping[str, Same]
    matches: tuple[FrameMatch, ...]

    def document(self) -> dict[str, Any]:
        """As plain values, without the matches."""
        return {
            "frames": self.frames,
            "kind": self.kind.value,
            "found": [
                {
                    "threshold": each.threshold,
                    "true": each.true,
                    "first": each.first,
                    "second": each.second,
                    "precision": each.precision,
                    "recall": each.recall,
                    "f1": each.f1,
                }
                for each in self.found
            ],
            "mean_overlap": self.overlap,
            "kappa": self.kappa,
            "confused": [{"first": a, "second": b, "count": n} for (a, b), n in self.confused.items()],
            "attributes": {
                name: {"pairs": each.pairs, "same": each.same} for name, each in self.attributes.items()
            },
        }


def agreement(
    first: LabelSet,
    second: LabelSet,
    kind: GeometryKind = GeometryKind.BBOX,
    *,
    thresholds: Sequence[float] = THRESHOLDS,
) -> Agreement:
    """Compare two label sets in the frames that both have; labels that a reviewer rejected do not count.

    Args:
        first: Such as the labels of one annotator, or labels that are known to be right.
        second: Such as those of another, or of a model.
        kind: Of the geometry that is compared.
        thresholds: Overlaps in (0, 1] from which a pair counts.

    Raises:
        AgreementError: They are of two ontologies, have no frame in common, or a threshold is none.
    """
    if wrong := [each for each in thresholds if not 0 < each <= 1]:
        raise AgreementError(f"thresholds (got {wrong}, expected in (0, 1])")
    matches = matches_of(first, second, kind)
    pairs = [pair for match in matches for pair in match.pairs]
    one, other = (
        len(pairs) + sum(len(getattr(m, side)) for m in matches) for side in ("only_first", "only_second")
    )
    alike = [pair for pair in pairs if pair.first_class == pair.second_class]
    confused = Counter((p.first_class, p.second_class) for p in pairs if p.first_class != p.second_class)
    return Agreement(
        frames=len(matches),
        kind=kind,
        found=tuple(
            Found(threshold=t, true=sum(p.overlap >= t for p in alike), first=one, second=other)
            for t in thresholds
        ),
        overlap=sum(p.overlap for p in pairs) / len(pairs) if pairs else None,
        kappa=_kappa([pair for pair in pairs if pair.overlap >= _EVEN]),
        confused=dict(confused.most_common()),
        attributes=_attributes(alike),
        matches=matches,
    )


def matches_of(first: LabelSet, second: LabelSet, kind: GeometryKind) -> tuple[FrameMatch, ...]:
    """Which labels mean one object, in each frame that both sets have, in the order of the first.

    Raises:
        AgreementError: They are of two ontologies, or have no frame in common.
    """
    if first.ontology.digest != second.ontology.digest:
        raise AgreementError(
            f"ontology of the second set (got {second.ontology.digest}, expected {first.ontology.digest} "
            "as in the first)"
        )
    common = [item for item in first.frames if item in second.frames]
    for item in common:
        if first.frames[item].sha256 != second.frames[item].sha256:
            raise AgreementError(
                f"frame {item!r} (got digest {second.frames[item].sha256} in the second set, expected "
                f"{first.frames[item].sha256})"
            )
    if not common:
        raise AgreementError(
            f"frames (got none of {len(first.frames)} in both sets, expected at least 1 in common)"
        )
    sides = [_by_frame(each, kind) for each in (first, second)]
    return tuple(
        _frame(item, sides[0].get(item, []), sides[1].get(item, []), first, second) for item in common
    )


def _by_frame(labels: LabelSet, kind: GeometryKind) -> dict[str, list[Label]]:
    found: dict[str, list[Label]] = {}
    for label in labels.labels.values():
        if label.geometry.kind is kind and label.review is not ReviewState.REJECTED:
            found.setdefault(label.item, []).append(label)
    return found


def _frame(item: str, one: list[Label], other: list[Label], first: LabelSet, second: LabelSet) -> FrameMatch:
    classes = [first.class_of(each) for each in one], [second.class_of(each) for each in other]
    found = matched([e.geometry for e in one], [e.geometry for e in other], classes, LEAST_OVERLAP)
    taken = {i for i, _, _ in found}, {j for _, j, _ in found}
    return FrameMatch(
        item=item,
        pairs=tuple(
            Pair(
                first=one[i],
                second=other[j],
                first_class=classes[0][i],
                second_class=classes[1][j],
                overlap=overlap,
            )
            for i, j, overlap in found
        ),
        only_first=tuple(each for i, each in enumerate(one) if i not in taken[0]),
        only_second=tuple(each for j, each in enumerate(other) if j not in taken[1]),
    )


def _kappa(pairs: Sequence[Pair]) -> float | None:
    classes = [pair.first_class for pair in pairs], [pair.second_class for pair in pairs]
    if len({*classes[0], *classes[1]}) < 2:  # noqa: PLR2004 - chance agreement is certain: 0 / 0
        return None
    return float(cohen_kappa_score(*classes))


def _attributes(pairs: Sequence[Pair]) -> dict[str, Same]:
    pairs_of: Counter[str] = Counter()
    same: Counter[str] = Counter()
    for pair in pairs:
        one, other = pair.first.attributes, pair.second.attributes
        for name in {*one, *other}:
            pairs_of[name] += 1
            same[name] += name in one and name in other and _equal(one[name], other[name])
    return {name: Same(pairs=pairs_of[name], same=same[name]) for name in sorted(pairs_of)}


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, abs_tol=1e-9)
    return bool(one == other)
