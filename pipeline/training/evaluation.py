"""Two models on the same samples, scenario by scenario, and whether the new one may take the place of the old.

Shares of right answers have Wilson intervals. The difference is paired: McNemar's exact test on the samples where
only one of both is right, Holm's correction over scenarios, and the interval of Agresti and Min (2005), which adds
half a sample to each cell of the table.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import NormalDist
from typing import Any, Final

from scipy.stats import binomtest  # type: ignore[import-untyped]

from pipeline.training.errors import PredictionFileError

_EVEN: Final = 0.5
ALL: Final = "all"
"""Every sample, whatever its tags."""


class Verdict(StrEnum):
    """How the new model stands in a scenario."""

    REGRESSED = "regressed"
    UNDECIDED = "undecided"
    HELD = "held"


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What a sample shows, and the scenarios that it belongs to."""

    label: str
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A share of right answers with the interval of the asked confidence."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TagComparison:
    """Both models in one scenario.

    Attributes:
        tag: The scenario, or ``all``.
        samples: How many.
        before: Share of the old model.
        after: Share of the new one.
        difference: New less old, with its interval.
        lost: Samples that only the old one has right.
        won: Samples that only the new one has right.
        p_worse: Chance of such a loss if both were alike, corrected for the count of scenarios.
        verdict: ``regressed``: worse beyond chance. ``held``: by the interval not worse than the tolerance.
            ``undecided``: the samples do not say.
    """

    tag: str
    samples: int
    before: Share
    after: Share
    difference: Share
    lost: int
    won: int
    p_worse: float
    verdict: Verdict


def read_truths(content: bytes) -> dict[str, Truth]:
    """Labels as JSON Lines: ``{"sample": …, "label": …, "tags": [ … ]}``.

    Raises:
        PredictionFileError: A line is malformed, a sample comes twice, or there is none.
    """
    found: dict[str, Truth] = {}
    for number, entry in json_lines(content, "labels"):
        tags = entry.get("tags", [])
        if not isinstance(tags, list) or ALL in tags or not all(isinstance(t, str) and t for t in tags):
            raise PredictionFileError(
                f"labels line {number}: tags (got {tags!r}, expected texts other than {ALL!r})"
            )
        sample = _text(entry, "sample", number)
        _once(sample, found, number)
        found[sample] = Truth(label=_text(entry, "label", number), tags=tuple(sorted(set(tags))))
    return found


def read_predictions(content: bytes, truths: Mapping[str, Truth]) -> dict[str, str]:
    """Predictions as JSON Lines: ``{"sample": …, "prediction": …}``, one for each labelled sample.

    Raises:
        PredictionFileError: A line is malformed, a sample comes twice, is unknown or missing, or the prediction is
            of a class that no label has.
    """
    classes = {truth.label for truth in truths.values()}
    found: dict[str, str] = {}
    for number, entry in json_lines(content, "predictions"):
        sample, prediction = _text(entry, "sample", number), _text(entry, "prediction", number)
        _once(sample, found, number)
        if sample not in truths:
            raise PredictionFileError(f"predictions line {number}: sample {sample!r} has no label")
        if prediction not in classes:
            raise PredictionFileError(
                f"predictions line {number}: class (got {prediction!r}, expected one of {sorted(classes)})"
            )
        found[sample] = prediction
    if missing := sorted(set(truths) - set(found)):
        raise PredictionFileError(
            f"predictions (got {len(found)}, expected {len(truths)}; the first missing is {missing[0]!r})"
        )
    return found


def compare(
    truths: Mapping[str, Truth],
    before: Mapping[str, str],
    after: Mapping[str, str],
    *,
    confidence: float = 0.95,
    tolerance: float = 0.02,
) -> tuple[TagComparison, ...]:
    """Hold a new model against an old one in every scenario; the worst come first.

    Args:
        truths: The labels.
        before: Predictions of the old model.
        after: Predictions of the new one.
        confidence: Of intervals; one less it is the level of the test.
        tolerance: Loss of the share of right answers that does not matter.

    Raises:
        PredictionFileError: There is no sample.
        ValueError: Confidence or tolerance is no share.
    """
    if not _EVEN < confidence < 1 or not 0 <= tolerance < 1:
        raise ValueError(
            f"confidence and tolerance (got {confidence} and {tolerance}, expected in (0.5, 1) and [0, 1))"
        )
    if not truths:
        raise PredictionFileError("labels (got none, expected at least 1)")
    scenarios = {ALL: list(truths)}
    for sample, truth in truths.items():
        for tag in truth.tags:
            scenarios.setdefault(tag, []).append(sample)
    tables = {
        tag: _table([(before[s] == truths[s].label, after[s] == truths[s].label) for s in samples])
        for tag, samples in scenarios.items()
    }
    chances = holm({tag: _p_worse(lost, won) for tag, (_, lost, won, _) in tables.items()})
    rows = [
        _judged(tag, table, chances[tag], confidence=confidence, tolerance=tolerance)
        for tag, table in tables.items()
    ]
    return tuple(sorted(rows, key=lambda row: (row.tag != ALL, row.difference.value, row.tag)))


def _judged(
    tag: str, table: tuple[int, int, int, int], chance: float, *, confidence: float, tolerance: float
) -> TagComparison:
    both, lost, won, _ = table
    samples = sum(table)
    difference = _paired(samples, lost, won, confidence)
    if chance < 1 - confidence:
        verdict = Verdict.REGRESSED
    else:
        verdict = Verdict.HELD if difference.low >= -tolerance else Verdict.UNDECIDED
    return TagComparison(
        tag=tag,
        samples=samples,
        before=_share(both + lost, samples, confidence),
        after=_share(both + won, samples, confidence),
        difference=difference,
        lost=lost,
        won=won,
        p_worse=chance,
        verdict=verdict,
    )


def _table(right: Sequence[tuple[bool, bool]]) -> tuple[int, int, int, int]:
    """Samples that both have right, only the old, only the new, none."""
    return (
        right.count((True, True)),
        right.count((True, False)),
        right.count((False, True)),
        right.count((False, False)),
    )


def _p_worse(lost: int, won: int) -> float:
    """McNemar's exact test, one-sided: as many losses or more, were each change as likely a win."""
    return 1.0 if lost + won == 0 else float(binomtest(lost, lost + won, alternative="greater").pvalue)


def holm(chances: Mapping[str, float]) -> dict[str, float]:
    """Holm's step-down correction (1979)."""
    corrected, highest = {}, 0.0
    for place, (tag, chance) in enumerate(sorted(chances.items(), key=lambda each: each[1])):
        highest = max(highest, min(1.0, (len(chances) - place) * chance))
        corrected[tag] = highest
    return corrected


def _share(right: int, samples: int, confidence: float) -> Share:
    interval = binomtest(right, samples).proportion_ci(confidence_level=confidence, method="wilson")
    return Share(value=right / samples, low=float(interval.low), high=float(interval.high))


def _paired(samples: int, lost: int, won: int, confidence: float) -> Share:
    """Difference of paired shares; half a sample is added to each of the four cells (Agresti and Min 2005)."""
    n, b, c = samples + 2.0, lost + 0.5, won + 0.5
    centre = (c - b) / n
    reach = NormalDist().inv_cdf(0.5 + confidence / 2) * math.sqrt((b + c) - (c - b) ** 2 / n) / n
    return Share(value=(won - lost) / samples, low=max(-1.0, centre - reach), high=min(1.0, centre + reach))


def json_lines(content: bytes, what: str) -> list[tuple[int, Mapping[str, Any]]]:
    """Objects of JSON Lines with the number of each line; empty lines are left out.

    Raises:
        PredictionFileError: A line is no object, or there is none.
    """
    found: list[tuple[int, Mapping[str, Any]]] = []
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PredictionFileError(f"{what}: {error}") from error
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except ValueError as error:
            raise PredictionFileError(f"{what} line {number}: {error}") from error
        if not isinstance(entry, dict):
            raise PredictionFileError(f"{what} line {number} (got {line[:40]!r}, expected an object)")
        found.append((number, entry))
    if not found:
        raise PredictionFileError(f"{what} (got no line, expected at least 1)")
    return found


def _text(entry: Mapping[str, Any], field: str, number: int) -> str:
    value = entry.get(field)
    if not isinstance(value, str) or not value:
        raise PredictionFileError(f"line {number}: {field} (got {value!r}, expected a text)")
    return value


def _once(sample: str, found: Mapping[str, object], number: int) -> None:
    if sample in found:
        raise PredictionFileError(f"line {number}: sample {sample!r} comes twice")
