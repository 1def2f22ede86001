"""Whatever asks a processor for positions, in whatever batches, is told when it contradicts itself."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from anonymize.errors import LimitExceededError, ProcessorError
from anonymize.geo.approved_checks import Sample
from anonymize.geo.approved_gradient import gradient_checks
from anonymize.geo.approved_witness import WitnessedDisplacement
from anonymize.profile import shipped_profile
from unsafe_secrecy_processor import ALLOWED, ATTESTATION, UnsafeTestProcessor

NOW = datetime(2026, 6, 1, tzinfo=UTC)
PROFILE = shipped_profile("cn-2026").profile.tracks
METRE = 1.0 / 111_000.0


@pytest.fixture(autouse=True)
def _allowed(monkeypatch):
    monkeypatch.setenv(ALLOWED, "1")


class UnsafeSpoilt(UnsafeTestProcessor):
    """The double, with something in metres added to latitudes by ``more(processor, lat, lon)``."""

    calls = 0

    def __init__(self, more):
        super().__init__()
        self._more = more

    def process(self, lat, lon, height_m):
        self.calls += 1
        out_lat, out_lon, height = super().process(lat, lon, height_m)
        return out_lat + METRE * self._more(self, lat, lon), out_lon, height


def ripple(height_m, length_m):
    """Waves across longitude, so that directions turn there and back."""
    return lambda _, lat, lon: height_m * np.sin(2 * np.pi * (lon - 116.0) * 85_000.0 / length_m) + 0.0 * lat


def scattered(count=600):
    rng = np.random.default_rng(5)
    return 39.9 + rng.uniform(0.0, 0.02, count), 116.3 + rng.uniform(0.0, 0.02, count)


def witnessed(processor, **more):
    return WitnessedDisplacement(processor, PROFILE, now=NOW, **more)


def sample(lat, lon):
    return Sample(lat=lat, lon=lon, height_m=None, joined=np.zeros(len(lat) - 1, dtype=bool))


def test_positions_that_came_one_by_one_and_in_thousands_are_all_vouched_for():
    witness = witnessed(UnsafeTestProcessor())
    lat, lon = scattered()
    for one in range(50):
        out = witness.displace(lat[one], lon[one])
        want = UnsafeTestProcessor().process(lat[one : one + 1], lon[one : one + 1], None)
        assert out[0][0] == pytest.approx(want[0][0], abs=1e-9)
    witness.displace(*scattered(9000))
    witness.displace([], [])
    made = witness.evidence()
    assert made.positions == 9050
    assert made.attestation is ATTESTATION
    assert {
        "same in another batch", "deterministic", "continuous about each position", "turns directions alike",
        "not GCJ-02",
    } <= set(made.checks)  # fmt: skip
    facts = json.dumps(made.facts())
    assert "39.9" not in facts
    kept = json.loads(witness.sample(20).content())
    assert len(kept["before"]) == len(kept["after"]) == 20
    before, after = np.array(kept["before"]), np.array(kept["after"])
    again = UnsafeTestProcessor().process(before[:, 0].copy(), before[:, 1].copy(), None)
    assert np.allclose(after, np.stack(again[:2], axis=1), atol=1e-9)


FAULTS = {
    "counts its calls": (lambda p, *_: 0.01 * p.calls, "same in another batch"),
    "is random": (lambda _, lat, *__: np.random.default_rng().normal(0.0, 0.01, len(lat)), "another batch"),
    "takes the batch's mean": (lambda _, lat, *__: 1000.0 * lat.mean() if len(lat) else 0.0, "batch"),
    "numbers its positions": (lambda _, lat, *__: 0.01 * np.arange(len(lat)), "check (same|independent)"),
    "jumps between neighbours": (
        lambda *a: 30.0 * (np.floor(a[2] * 85_000.0 / 12.0) % 2),
        "continuous about each position",
    ),
    "ripples": (ripple(0.4, 40.0), "turns directions alike"),
}


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("batch", [1, 600])
def test_a_processor_that_contradicts_itself_is_refused_in_any_batches(name, batch):
    more, message = FAULTS[name]
    witness = witnessed(UnsafeSpoilt(more))
    lat, lon = scattered()
    for start in range(0, len(lat), batch):
        witness.displace(lat[start : start + batch], lon[start : start + batch])
    with pytest.raises(ProcessorError, match=message) as caught:
        witness.evidence()
    assert "39.9" not in str(caught.value)


def test_a_large_batch_is_checked_before_it_is_given():
    with pytest.raises(ProcessorError, match="turns directions alike"):
        witnessed(UnsafeSpoilt(ripple(0.4, 40.0))).displace(*scattered(5000))


def test_a_long_wave_and_six_decimals_are_no_fault():
    assert all(c.passed for c in gradient_checks(UnsafeSpoilt(ripple(5.0, 5000.0)), sample(*scattered())))
    rounded = UnsafeSpoilt(lambda *_: 0.0)
    rounded.process = lambda lat, lon, h: (
        *(v.round(6) for v in UnsafeTestProcessor().process(lat, lon, h)[:2]),
        h,
    )
    checks = gradient_checks(rounded, sample(*scattered()))
    assert all(c.passed for c in checks)
    assert checks[1].figure > 0.05


def test_a_turn_of_the_ground_is_measured_as_none_between_two_lengths():
    turning = UnsafeSpoilt(lambda *a: 0.05 * (a[2] - 116.3) * 85_000.0)
    (steps, turns) = gradient_checks(turning, sample(*scattered()))
    assert steps.passed
    assert turns.figure < 0.01


def test_nothing_moved_is_nothing_vouched_for():
    witness = witnessed(UnsafeTestProcessor())
    with pytest.raises(LimitExceededError, match="got none"):
        witness.evidence()
    with pytest.raises(LimitExceededError, match="at least 1"):
        witness.sample(0)


def test_the_attestation_is_asked_for_again_for_every_item():
    processor = UnsafeTestProcessor()
    with pytest.raises(ProcessorError, match="another certificate"):
        witnessed(processor, certificate_sha256="0" * 64)
    processor.attestation = replace(ATTESTATION, valid_to=NOW)
    with pytest.raises(ProcessorError, match="not in force"):
        witnessed(processor)
