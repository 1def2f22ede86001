"""Two models by scenario: the statistics against closed forms and simulation, and every file that is refused."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from pipeline.training.errors import PredictionFileError
from pipeline.training.evaluation import ALL, Truth, Verdict, compare, read_predictions, read_truths


def lines(*entries: Any) -> bytes:
    return "\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries).encode()


def models(*cells: tuple[str, int, int, int, int]) -> tuple[dict[str, Truth], dict[str, str], dict[str, str]]:
    """For each scenario: both right, only the old, only the new, none."""
    truths, old, new = {}, {}, {}
    for tag, *counts in cells:
        for kind, count in enumerate(counts):
            for n in range(count):
                sample = f"{tag}-{kind}-{n}"
                truths[sample] = Truth(label="a", tags=(tag,))
                old[sample] = "a" if kind in {0, 1} else "b"
                new[sample] = "a" if kind in {0, 2} else "b"
    return truths, old, new


def test_a_loss_in_one_scenario_is_found_though_the_whole_gained():
    rows = compare(*models(("day", 800, 5, 60, 35), ("night", 60, 25, 2, 13)))

    found = {row.tag: row for row in rows}
    assert rows[0].tag == ALL
    assert rows[1].tag == "night"
    assert found["night"].verdict is Verdict.REGRESSED
    assert found["day"].verdict is found[ALL].verdict is Verdict.HELD
    night = found["night"]
    assert (night.samples, night.lost, night.won) == (100, 25, 2)
    assert night.before.value == pytest.approx(0.85)
    assert night.difference.value == pytest.approx(-0.23)
    exact = binom.sf(24, 27, 0.5)
    assert exact <= night.p_worse == pytest.approx(3 * exact)
    assert night.difference.low < -0.23 < night.difference.high < 0


def test_intervals_are_those_of_the_books():
    (row,) = (r for r in compare(*models(("x", 8, 0, 0, 2))) if r.tag == ALL)

    assert (row.before.low, row.before.high) == pytest.approx((0.490, 0.943), abs=5e-4)  # Wilson, 8 of 10
    assert row.p_worse == 1.0
    assert row.verdict is Verdict.UNDECIDED  # ten samples prove nothing


@pytest.mark.parametrize(("loss", "most"), [(0.0, 0.06), (0.1, 1.0)])
def test_models_that_are_alike_are_called_regressed_at_most_as_often_as_asked(loss: float, most: float):
    rng = np.random.default_rng(11)
    covered = regressed = 0
    for _ in range(200):
        old, new = rng.random(300) < 0.8, rng.random(300) < 0.8 - loss
        counts = [int(np.sum(a & b)) for a, b in ((old, new), (old, ~new), (~old, new), (~old, ~new))]
        (row,) = (r for r in compare(*models(("x", *counts))) if r.tag == ALL)
        covered += row.difference.low <= -loss <= row.difference.high
        regressed += row.verdict is Verdict.REGRESSED
    assert covered >= 0.90 * 200
    assert regressed <= most * 200
    assert loss == 0.0 or regressed >= 0.6 * 200


LABELS = lines(
    {"sample": "1", "label": "车", "tags": ["night"]},
    {"sample": "2", "label": "人", "tags": ["rain", "night"]},
)

SPOILT: dict[str, tuple[Callable[[], object], str]] = {
    "no labels": (lambda: read_truths(b"\n"), "no line"),
    "not JSON": (lambda: read_truths(b"{"), "labels line 1"),
    "not UTF-8": (lambda: read_truths(b"\xff"), "utf-8"),
    "no object": (lambda: read_truths(b"[1]"), "expected an object"),
    "no label": (lambda: read_truths(lines({"sample": "1"})), "label"),
    "tags": (lambda: read_truths(lines({"sample": "1", "label": "a", "tags": "night"})), "tags"),
    "reserved tag": (lambda: read_truths(lines({"sample": "1", "label": "a", "tags": ["all"]})), "tags"),
    "twice": (lambda: read_truths(lines(*[{"sample": "1", "label": "a"}] * 2)), "twice"),
    "unknown class": (lambda: predictions({"sample": "1", "prediction": "船"}), "船"),
    "unknown sample": (lambda: predictions({"sample": "9", "prediction": "车"}), "'9' has no label"),
    "missing": (lambda: predictions({"sample": "1", "prediction": "车"}), "first missing is '2'"),
    "number": (lambda: predictions({"sample": "1", "prediction": 1}), "prediction"),
    "nothing": (lambda: compare({}, {}, {}), "labels"),
}


def predictions(*entries: Any) -> dict[str, str]:
    return read_predictions(lines(*entries), read_truths(LABELS))


@pytest.mark.parametrize("case", SPOILT)
def test_a_spoilt_file_is_refused_with_what_is_wrong(case: str):
    read, told = SPOILT[case]

    with pytest.raises(PredictionFileError, match=told):
        read()


def test_shares_that_are_none_are_refused():
    for changes in ({"confidence": 1.0}, {"confidence": 0.4}, {"tolerance": -0.1}):
        with pytest.raises(ValueError, match="confidence and tolerance"):
            compare(*models(("x", 1, 0, 0, 0)), **changes)
