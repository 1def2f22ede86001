"""Frames whose labels are known, mixed into a task, and what each annotator made of them."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.stats import binomtest  # type: ignore[import-untyped]

from pipeline.labelling.agreement import Agreement, agreement
from pipeline.labelling.errors import AgreementError
from pipeline.labelling.label_set import LabelSet
from pipeline.labelling.ontology import GeometryKind

_EVEN: Final = 0.5
_RESAMPLES: Final = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A share with the interval of the asked confidence; of nothing it is None, and the interval says nothing."""

    value: float | None
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HoneypotScore:
    """An annotator on frames whose labels are known.

    Attributes:
        annotator: Who.
        frames: Known frames that the annotator was given.
        recall: Known labels that were found with their class (Wilson's interval).
        precision: Labels of the annotator that are known (Wilson's interval).
        f1: Both; its interval is a bootstrap over frames, for labels of one frame go wrong together.
        agreement: What it comes from.
    """

    annotator: str
    frames: int
    recall: Interval
    precision: Interval
    f1: Interval
    agreement: Agreement


def mixed(items: Sequence[str], known: Sequence[str], share: float, *, seed: int) -> tuple[str, ...]:
    """The order of a task with known frames among the others, so that nobody can tell which.

    The frames of the task keep their order; known frames, drawn without repetition, stand at random places.

    Args:
        items: Frames of the task.
        known: Frames whose labels are known, of the same release; none of them is in ``items``.
        share: Of known frames in the whole, in (0, 1).
        seed: Of the draw; one of its own for each task, not told to annotators.

    Raises:
        AgreementError: The share is none, a frame is in both, or there are too few known frames.
    """
    if not 0 < share < 1:
        raise AgreementError(f"share of known frames (got {share}, expected in (0, 1))")
    if both := sorted(set(items) & set(known)):
        raise AgreementError(f"known frames (got {both[0]!r} also among those of the task, expected others)")
    count = max(1, round(len(items) * share / (1 - share)))
    if len(set(known)) < count:
        raise AgreementError(f"known frames (got {len(set(known))}, expected at least {count})")
    drawn = random.Random(seed)  # noqa: S311 - an order, no secret
    chosen = drawn.sample(sorted(set(known)), count)
    places = set(drawn.sample(range(len(items) + count), count))
    rest, traps = iter(items), iter(chosen)
    return tuple(next(traps) if place in places else next(rest) for place in range(len(items) + count))


def score_honeypots(
    known: LabelSet,
    given: Mapping[str, LabelSet],
    kind: GeometryKind = GeometryKind.BBOX,
    *,
    threshold: float = 0.5,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[HoneypotScore, ...]:
    """Hold annotators' labels of known frames against what is known; the lowest F1 comes first.

    Args:
        known: Labels that are known to be right.
        given: Label sets by annotator; other frames in them do not count.
        kind: Of the geometry that is compared.
        threshold: Overlap (intersection over union) from which a label counts as found.
        confidence: Of the intervals.
        seed: Of the bootstrap.

    Raises:
        AgreementError: An annotator has no known frame or another ontology, or threshold or confidence is none.
    """
    if not _EVEN < confidence < 1:
        raise AgreementError(f"confidence (got {confidence}, expected in (0.5, 1))")
    scores = []
    for annotator, labels in given.items():
        found = agreement(known, labels, kind, thresholds=[threshold])
        whole = found.found[0]
        scores.append(
            HoneypotScore(
                annotator=annotator,
                frames=found.frames,
                recall=_wilson(whole.true, whole.first, confidence),
                precision=_wilson(whole.true, whole.second, confidence),
                f1=_bootstrapped(found, threshold, confidence, seed),
                agreement=found,
            )
        )
    return tuple(sorted(scores, key=lambda s: (1.0 if s.f1.value is None else s.f1.value, s.annotator)))


def _wilson(true: int, of: int, confidence: float) -> Interval:
    if of == 0:
        return Interval(value=None, low=0.0, high=1.0)
    interval = binomtest(true, of).proportion_ci(confidence_level=confidence, method="wilson")
    return Interval(value=true / of, low=float(interval.low), high=float(interval.high))


def _bootstrapped(found: Agreement, threshold: float, confidence: float, seed: int) -> Interval:
    value = found.found[0].f1
    if value is None:
        return Interval(value=None, low=0.0, high=1.0)
    counts = np.array(
        [
            (
                sum(p.overlap >= threshold and p.first_class == p.second_class for p in match.pairs),
                2 * len(match.pairs) + len(match.only_first) + len(match.only_second),
            )
            for match in found.matches
        ]
    )
    frames = len(counts)
    weights = np.random.default_rng(seed).multinomial(frames, np.full(frames, 1 / frames), size=_RESAMPLES)
    true, labels = (weights @ counts).T
    shares = 2 * true[labels > 0] / labels[labels > 0]
    low, high = np.quantile(shares, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(value=value, low=float(min(low, value)), high=float(max(high, value)))
