"""Which labels and frames a reviewer should look at first: those where two label sets disagree.

Each label of the set under review, and each label that only the other set has, gets a score in [0, 1]: an estimate
of the chance that the set under review is wrong there, by what is usual between the two sets (Bayes, from a stated
share of wrong labels). Where the other set rarely misses labels of a class and size, one that it does not have is
likely an error; where its labels of a confidence are nearly always confirmed, one that only it has is likely
missing; so for pairs of two classes, and for pairs of one class by how rare so little overlap is for their size.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from pipeline.labelling.agreement import FrameMatch, Pair, matches_of
from pipeline.labelling.errors import AgreementError
from pipeline.labelling.geometry import Cuboid
from pipeline.labelling.label_set import Label, LabelSet
from pipeline.labelling.ontology import GeometryKind

_SIZES: Final = 8
_PRIOR: Final = 4.0


class Disagreement(StrEnum):
    """What may be wrong."""

    EXTRA = "extra"
    MISSING = "missing"
    WRONG_CLASS = "wrong_class"
    SHIFTED = "shifted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """A label to look at.

    Attributes:
        item: Its frame.
        why: What may be wrong with it.
        score: In [0, 1].
        label: The label; of the other set where one may be missing.
        other: What the other set has in its place; None where it has nothing or the label is its own.
    """

    item: str
    why: Disagreement
    score: float
    label: Label
    other: Label | None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedFrame:
    """A frame to look at: its score is that of its worst suspects together."""

    item: str
    score: float
    suspects: tuple[Suspect, ...]


def review_queue(
    reviewed: LabelSet,
    other: LabelSet,
    kind: GeometryKind = GeometryKind.BBOX,
    *,
    errors: float = 0.02,
) -> tuple[QueuedFrame, ...]:
    """Frames in the order to look at them, each with its suspects, the worst first; every common frame is there.

    Args:
        reviewed: The labels under review.
        other: Another annotator's labels of the same frames, or a model's.
        kind: Of the geometry that is compared.
        errors: Share of labels under review that are wrong, as far as is known; in (0, 1).

    Raises:
        AgreementError: The sets are of two ontologies or have no frame in common, or the share is none.
    """
    if not 0 < errors < 1:
        raise AgreementError(f"share of wrong labels (got {errors}, expected in (0, 1))")
    matches = matches_of(reviewed, other, kind)
    usual = _Usual(matches, reviewed, other, errors)
    queue = []
    for match in matches:
        suspects = sorted(usual.suspects(match), key=lambda s: (-s.score, s.label.at))
        queue.append(QueuedFrame(item=match.item, score=_together(suspects), suspects=tuple(suspects)))
    return tuple(sorted(queue, key=lambda frame: (-frame.score, frame.item)))


class _Usual:
    """What is usual between two sets: how often labels are confirmed, and how much pairs overlap."""

    def __init__(
        self, matches: Sequence[FrameMatch], reviewed: LabelSet, other: LabelSet, errors: float
    ) -> None:
        self._reviewed, self._other, self._errors = reviewed, other, errors
        pairs = [pair for match in matches for pair in match.pairs]
        ours = [pair.first for pair in pairs] + [each for m in matches for each in m.only_first]
        self._bounds = _quantiles([_size(each) for each in ours], _SIZES)
        self._found = _shares(
            [((p.first_class, self._bin(p.first)), True) for p in pairs]
            + [((reviewed.class_of(e), self._bin(e)), False) for m in matches for e in m.only_first]
        )
        self._confirmed = _shares(
            [((p.second_class, _tenth(p.second)), True) for p in pairs]
            + [((other.class_of(e), _tenth(e)), False) for m in matches for e in m.only_second]
        )
        self._same = _shares(
            [((p.second_class, _tenth(p.second)), p.first_class == p.second_class) for p in pairs]
        )
        overlaps: dict[int, list[float]] = {}
        for pair in pairs:
            overlaps.setdefault(self._bin(pair.first), []).append(pair.overlap)
        self._overlaps = {size: sorted(found) for size, found in overlaps.items()}

    def suspects(self, match: FrameMatch) -> Iterable[Suspect]:
        for pair in match.pairs:
            why, score = self._of_pair(pair)
            yield Suspect(item=match.item, why=why, score=score, label=pair.first, other=pair.second)
        for label in match.only_first:
            score = self._error(1 - self._found[self._reviewed.class_of(label), self._bin(label)])
            yield Suspect(item=match.item, why=Disagreement.EXTRA, score=score, label=label, other=None)
        for label in match.only_second:
            confirmed = self._confirmed[self._other.class_of(label), _tenth(label)]
            score = self._error((1 - confirmed) / confirmed)
            yield Suspect(item=match.item, why=Disagreement.MISSING, score=score, label=label, other=None)

    def _of_pair(self, pair: Pair) -> tuple[Disagreement, float]:
        overlaps = self._overlaps[self._bin(pair.first)]
        shifted = self._error(_odds(bisect_right(overlaps, pair.overlap) / len(overlaps)))
        if pair.first_class == pair.second_class:
            return Disagreement.SHIFTED, shifted
        confused = self._error(1 - self._same[pair.second_class, _tenth(pair.second)])
        return Disagreement.WRONG_CLASS, max(confused, shifted)

    def _error(self, otherwise: float) -> float:
        """Chance of an error, where a right label would disagree like this with a chance of ``otherwise``."""
        return self._errors / (self._errors + (1 - self._errors) * otherwise)

    def _bin(self, label: Label) -> int:
        return bisect_left(self._bounds, _size(label))


def _odds(rare: float) -> float:
    """Least odds of a right label to an error at a value so rare (Sellke, Bayarri and Berger, 2001)."""
    return -math.e * rare * math.log(rare) if rare < 1 / math.e else 1.0


def _together(suspects: Sequence[Suspect]) -> float:
    """Chance that at least one is an error, were they independent."""
    return 1 - math.prod(1 - each.score for each in suspects)


class _Shares(dict[tuple[str, int], float]):
    """Shares by class and group; one that was never seen has the share of all."""

    def __init__(self, found: Mapping[tuple[str, int], float], whole: float) -> None:
        super().__init__(found)
        self._whole = whole

    def __missing__(self, key: tuple[str, int]) -> float:
        return self._whole


def _shares(seen: Sequence[tuple[tuple[str, int], bool]]) -> _Shares:
    """Shares drawn towards that of all by four such cases, so that a class seen twice is not certain."""
    whole = (sum(right for _, right in seen) + 1) / (len(seen) + 2)
    counts: dict[tuple[str, int], list[int]] = {}
    for key, right in seen:
        count = counts.setdefault(key, [0, 0])
        count[0] += right
        count[1] += 1
    return _Shares(
        {key: (right + _PRIOR * whole) / (of + _PRIOR) for key, (right, of) in counts.items()}, whole
    )


def _quantiles(values: Sequence[float], parts: int) -> list[float]:
    ordered = sorted(values)
    return [ordered[len(ordered) * part // parts] for part in range(1, parts)] if ordered else []


def _size(label: Label) -> float:
    if isinstance(label.geometry, Cuboid):
        return math.prod(label.geometry.size)
    left, top, right, bottom = label.geometry.extent
    return (right - left) * (bottom - top)


def _tenth(label: Label) -> int:
    return -1 if label.confidence is None else min(9, int(10 * label.confidence))
