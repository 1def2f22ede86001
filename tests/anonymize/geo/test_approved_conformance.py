"""The test kit passes a sound processor and names what is wrong with others."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from anonymize.geo.crs import from_wgs84
from anonymize.geo.processor_conformance import conformance, main
from unsafe_secrecy_processor import ALLOWED, ATTESTATION, UnsafeTestProcessor

NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _allowed(monkeypatch):
    monkeypatch.setenv(ALLOWED, "1")


def failed(processor, **kwargs):
    report = conformance(processor, now=NOW, **kwargs)
    assert report.passed is (not [c for c in report.checks if not c.passed])
    return {c.name for c in report.checks if not c.passed}


def test_a_sound_processor_passes_with_figures():
    report = conformance(UnsafeTestProcessor(), another=UnsafeTestProcessor(), now=NOW)
    assert report.passed
    names = [c.name for c in report.checks]
    assert len(names) == len(set(names)) >= 18
    assert {"continuous", "not linear", "same in threads", "same in another instance", "not GCJ-02"} <= set(
        names
    )
    assert report.positions > 10_000
    assert report.positions_per_s > 0


class UnsafeGcj(UnsafeTestProcessor):
    def process(self, lat, lon, height_m):
        return *from_wgs84(lat, lon, "GCJ-02"), height_m


class UnsafeShift(UnsafeTestProcessor):
    def process(self, lat, lon, height_m):
        return lat + 0.003, lon - 0.004 * lat / 30.0, height_m


class UnsafeCounting(UnsafeTestProcessor):
    calls = 0

    def process(self, lat, lon, height_m):
        self.calls += 1
        return lat + 0.003 + self.calls * 1e-6, lon, height_m


class UnsafeSeeded(UnsafeTestProcessor):
    def __init__(self):
        super().__init__()
        self._turn = np.random.default_rng().uniform(0.0, 1.0)

    def process(self, lat, lon, height_m):
        made = super().process(lat, lon, height_m)
        return made[0] + 1e-3 * self._turn, made[1], made[2]


class UnsafeBlocks(UnsafeTestProcessor):
    """Jumps of 100 m at the borders of blocks of 0.01 degrees."""

    def process(self, lat, lon, height_m):
        made = super().process(lat, lon, height_m)
        return made[0] + 1e-3 * (np.floor(lat * 100.0) % 2), made[1], made[2]


class UnsafeNeedsOne(UnsafeTestProcessor):
    def process(self, lat, lon, height_m):
        return (lat[0] + 0.003 + 0.0 * lat, *super().process(lat, lon, height_m)[1:])


def test_gcj02_is_named():
    assert failed(UnsafeGcj()) == {"not GCJ-02"}


def test_a_linear_map_is_named():
    assert failed(UnsafeShift()) == {"not linear"}


def test_state_between_calls_is_named():
    assert {"deterministic", "independent of order", "same in threads"} <= failed(UnsafeCounting())


def test_a_secret_that_differs_between_instances_is_named():
    assert failed(UnsafeSeeded(), another=UnsafeSeeded()) == {"same in another instance"}


def test_jumps_are_named():
    assert "continuous" in failed(UnsafeBlocks())


def test_a_processor_that_cannot_answer_for_no_position_fails_with_a_reason():
    report = conformance(UnsafeNeedsOne(), now=NOW)
    bad = next(c for c in report.checks if c.name == "answers for no position")
    assert not bad.passed
    assert "IndexError" in bad.reason


def test_an_attestation_that_ran_out_is_named():
    processor = UnsafeTestProcessor()
    processor.attestation = replace(ATTESTATION, valid_to=NOW)
    assert failed(processor) == {"attestation"}


def test_the_command_prints_and_exits_as_documented(capsys):
    assert main(["unsafe_secrecy_processor:UnsafeTestProcessor"]) == 0
    assert "0 failed" in capsys.readouterr().out
    assert main(["unsafe_secrecy_processor:UnsafeTestProcessor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["passed"] is True
    assert main(["unsafe_secrecy_processor:Nothing"]) == 2
    assert "cannot be loaded" in capsys.readouterr().err
    assert main(["unsafe_secrecy_processor"]) == 2


def test_the_command_exits_with_one_where_a_check_fails(capsys, tmp_path, monkeypatch):
    (tmp_path / "shifting.py").write_text(
        "from unsafe_secrecy_processor import UnsafeTestProcessor\n"
        "class Shift(UnsafeTestProcessor):\n"
        "    def process(self, lat, lon, height_m):\n"
        "        return lat + 0.003, lon, height_m\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert main(["shifting:Shift"]) == 1
    assert "FAILED  not linear" in capsys.readouterr().out
