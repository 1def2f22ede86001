"""What leaves in APPROVED mode is the processor's own, attested and checked; no processor is imitated."""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymize.errors import LimitExceededError, MalformedItemError, ProcessorError
from anonymize.formats.csv_track import write_csv_track
from anonymize.formats.geojson_track import write_geojson_track
from anonymize.formats.gpx import write_gpx
from anonymize.formats.track import Track
from anonymize.geo.approved import approve_positions, approve_track, sample_of
from anonymize.geo.approved_displacement import ApprovedDisplacement, plan_approved
from anonymize.geo.approved_residual import scan_approved
from anonymize.geo.crs import from_wgs84, geodesic_m, to_wgs84
from anonymize.geo.ellipsoid import wrap_degrees
from anonymize.geo.enu_frame import EnuFrame
from anonymize.geo.offset_plan import time_shift_s
from anonymize.geo.secrecy_processor import GROUP, SecrecyProcessor, installed_processor, require_attested
from anonymize.profile import shipped_profile
from unsafe_secrecy_processor import ALLOWED, ATTESTATION, UnsafeTestProcessor

NOW = datetime(2026, 6, 1, tzinfo=UTC)
SHIFT_S = 400 * 86400.0
PROFILE = shipped_profile("cn-2026").profile.tracks
KEY = bytes(range(32))


@pytest.fixture(autouse=True)
def _allowed(monkeypatch):
    monkeypatch.setenv(ALLOWED, "1")


@pytest.fixture
def processor():
    return UnsafeTestProcessor()


def drive(*, fixes=400, lat=39.9, lon=116.3, elevation=np.nan, seed=1):
    rng = np.random.default_rng(seed)
    heading = np.cumsum(rng.normal(0.0, 0.05, fixes))
    return Track(
        lat=lat + np.cumsum(8.0 * np.cos(heading)) / 111_200.0,
        lon=wrap_degrees(lon + np.cumsum(8.0 * np.sin(heading)) / 85_000.0),
        time_s=1.7e9 + np.arange(fixes, dtype=np.float64),
        elevation_m=np.full(fixes, elevation),
        speed_mps=np.full(fixes, 8.0),
        segment=np.repeat(np.arange(2, dtype=np.int32), [fixes // 2, fixes - fixes // 2]),
        crs="EPSG:4326",
    )


def approved(track, processor, **kwargs):
    return approve_track(track, processor=processor, now=NOW, shift_s=SHIFT_S, **kwargs)


def test_a_track_leaves_as_the_processor_gives_it_with_times_shifted(processor):
    track = drive()
    made = approved(track, processor)
    lat, lon, _ = processor.process(track.lat, track.lon, None)
    assert np.array_equal(made.track.lat, lat)
    assert np.array_equal(made.track.lon, lon)
    assert np.array_equal(made.track.time_s, track.time_s + SHIFT_S)
    assert np.array_equal(made.track.speed_mps, track.speed_mps)
    assert np.isnan(made.track.elevation_m).all()
    assert made.source is track


def test_evidence_holds_the_attestation_and_no_figure_of_the_transform(processor):
    facts = approved(drive(), processor).evidence.facts()
    assert facts["secrecy_tech_id"] == "TEST-ONLY-0000"
    assert facts["attestation"]["certificate_sha256"] == ATTESTATION.certificate_sha256
    assert facts["positions"] == 400
    assert {"deterministic", "continuous", "not GCJ-02", "not BD-09", "not the identity"} <= set(
        facts["checks"]
    )
    assert json.loads(json.dumps(facts)) == facts
    assert set(facts) == {"secrecy_tech_id", "attestation", "checks", "positions"}


def test_elevations_are_processed_where_there_are_some(processor):
    track = drive(elevation=43.5)
    known = np.arange(len(track)) % 3 != 0
    track = replace(track, elevation_m=np.where(known, track.elevation_m, np.nan))
    made = approved(track, processor)
    assert np.allclose(made.track.elevation_m[known], 46.5)
    assert np.isnan(made.track.elevation_m[~known]).all()
    assert np.array_equal(made.track.lat, processor.process(track.lat, track.lon, None)[0])


@dataclass
class Call:
    """What a processor was given, and what a sound one makes of it."""

    lat: np.ndarray
    lon: np.ndarray
    h: np.ndarray | None
    y: np.ndarray
    x: np.ndarray
    z: np.ndarray | None


class UnsafeSpoilt(UnsafeTestProcessor):
    def __init__(self, spoil):
        super().__init__()
        self._spoil = spoil

    def process(self, lat, lon, height_m):
        return self._spoil(Call(lat, lon, height_m, *super().process(lat, lon, height_m)))


def noise(c):
    return np.random.default_rng().normal(0.0, 1e-9, c.lat.shape)


def not_finite(c):
    c.y[-1:] = np.nan
    return c.y, c.x, c.z


def changed(c):
    c.lat += 1.0
    return c.y, c.x, c.z


def raising(c):
    raise ValueError(f"cannot process {c.lat[0]}")


def mean(c):
    return c.lat.mean() if len(c.lat) else 0.0


def gcj(c):
    return from_wgs84(c.lat, c.lon, "GCJ-02")


FAULTS = {
    "fewer": (lambda c: (c.y[1:], c.x[1:], c.z), "other latitudes"),
    "float32": (lambda c: (c.y.astype("f4"), c.x, c.z), "other latitudes"),
    "lists": (lambda c: (list(c.y), c.x, c.z), "other latitudes"),
    "pair": (lambda c: (c.y, c.x), "no triple"),
    "not finite": (not_finite, "not finite"),
    "no latitude": (lambda c: (c.y + 90.0, c.x, c.z), "not possible"),
    "heights from nowhere": (lambda c: (c.y, c.x, np.zeros_like(c.y)), "gave heights"),
    "argument changed": (changed, "changed its arguments"),
    "raises": (raising, "failed (got ValueError)"),
    "random": (lambda c: (c.y + noise(c), c.x, c.z), "check deterministic"),
    "running number": (lambda c: (c.y + 1e-7 * np.arange(len(c.y)), c.x, c.z), "check independent of order"),
    "mean of the batch": (lambda c: (c.y + mean(c) / 1e3, c.x, c.z), "independent of batch"),
    "height moves": (lambda c: (c.y + (0.0 if c.h is None else 1e-6), c.x, c.z), "independent of heights"),
    "jumps": (lambda c: (np.where(c.lat * 500.0 % 2.0 < 1.0, c.y, c.y + 3e-3), c.x, c.z), "check continuous"),
    "noise of place": (lambda c: (c.y + 2e-4 * np.sin(c.lat * 1e8), c.x, c.z), "check continuous"),
    "identity": (lambda c: (c.lat.copy(), c.lon.copy(), c.z), "not the identity"),
    "nearly identity": (lambda c: (c.lat + 5e-6, c.lon.copy(), c.z), "not the identity"),
    "GCJ-02": (lambda c: (*gcj(c), c.z), "not GCJ-02"),
    "GCJ-02 and a little": (lambda c: (gcj(c)[0] + 5e-6, gcj(c)[1], c.z), "not GCJ-02"),
    "BD-09": (lambda c: (*from_wgs84(c.lat, c.lon, "BD-09"), c.z), "not BD-09"),
    "GCJ-02 undone": (lambda c: (*to_wgs84(c.lat, c.lon, "GCJ-02"), c.z), "inverse of GCJ-02"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_processor_that_contradicts_itself_or_gives_what_is_public_is_refused(name):
    spoil, message = FAULTS[name]
    track = drive()
    with pytest.raises(ProcessorError) as caught:
        approved(track, UnsafeSpoilt(spoil))
    assert message in str(caught.value)
    assert "39.9" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.reason == "processor_refused"


def test_a_processor_that_rounds_to_six_decimals_passes():
    made = approved(drive(), UnsafeSpoilt(lambda c: (c.y.round(6), c.x.round(6), c.z)))
    assert "continuous" in made.evidence.checks


def test_a_jump_between_segments_is_no_jump_of_the_processor(processor):
    track = drive()
    far = np.where(track.segment == 1, track.lat - 5.0, track.lat)
    assert len(approved(replace(track, lat=far), processor).track) == 400


@settings(deadline=None, max_examples=25)
@given(
    lat=st.floats(19.0, 50.0),
    lon=st.floats(75.0, 130.0),
    crs=st.sampled_from(["utm", "ecef", "enu", "EPSG:4490"]),
)
def test_the_same_ground_lands_alike_in_every_system_to_a_centimetre(lat, lon, crs):
    os.environ[ALLOWED] = "1"
    processor = UnsafeTestProcessor()
    at = lat + np.linspace(0.0, 0.01, 5), lon + np.linspace(0.0, 0.01, 5)
    height = np.linspace(0.0, 100.0, 5)
    system = {
        "utm": f"EPSG:{32600 + int((lon + 180) // 6) + 1}",
        "ecef": "EPSG:4978",
        "enu": EnuFrame(lat0=lat, lon0=lon, height0_m=10.0),
    }.get(crs, crs)
    given_in = from_wgs84(*at, system, height)
    made = approve_positions(*given_in, crs=system, processor=processor, now=NOW)
    back = to_wgs84(made.first, made.second, system, made.third)
    want = processor.process(*at, height)
    assert geodesic_m(back[0], back[1], want[0], want[1])[0].max() < 0.01
    assert np.allclose(back[2], want[2], atol=0.01)


def test_positions_without_heights_stay_without(processor):
    made = approve_positions([39.9, 40.0], [116.3, 116.4], crs="EPSG:4326", processor=processor, now=NOW)
    assert made.third is None
    assert made.evidence.positions == 2


def test_no_positions_are_no_release(processor):
    with pytest.raises(LimitExceededError, match="at least one"):
        approve_positions([], [], crs="EPSG:4326", processor=processor, now=NOW)


def test_a_coordinate_that_is_not_finite_stops_before_the_processor_sees_it(processor):
    with pytest.raises(MalformedItemError):
        approve_positions([np.nan], [116.0], crs="EPSG:4326", processor=processor, now=NOW)


ATTESTATIONS = {
    "no id": ({"secrecy_tech_id": ""}, "secrecy_tech_id"),
    "blank version": ({"version": "  "}, "version"),
    "no certificate": ({"certificate_number": None}, "certificate_number"),
    "control character": ({"issued_by": "a\nb"}, "issued_by"),
    "no digest": ({"certificate_sha256": "ABC"}, "no digest"),
    "local time": ({"valid_to": datetime(2100, 1, 1)}, "period"),  # noqa: DTZ001 - what is refused
    "empty period": ({"valid_to": ATTESTATION.valid_from}, "period"),
    "over": ({"valid_to": NOW}, "not in force"),
    "not yet": ({"valid_from": NOW + timedelta(seconds=1)}, "not in force"),
}


@pytest.mark.parametrize("name", ATTESTATIONS)
def test_an_attestation_that_is_incomplete_or_not_in_force_stops_the_release(name):
    changes, message = ATTESTATIONS[name]
    processor = UnsafeTestProcessor()
    processor.attestation = replace(ATTESTATION, **changes)
    with pytest.raises(ProcessorError, match=message):
        approved(drive(), processor)


def test_an_attestation_of_another_type_and_a_time_without_zone_are_refused(processor):
    with pytest.raises(ProcessorError, match="not valid"):
        require_attested(processor, now=datetime(2026, 1, 1))  # noqa: DTZ001 - what is refused
    processor.attestation = ATTESTATION.as_dict()
    with pytest.raises(ProcessorError, match="another type"):
        require_attested(processor, now=NOW)


def test_the_operator_pins_the_certificate(processor):
    digest = hashlib.sha256(b"not a certificate").hexdigest()
    assert approved(drive(), processor, certificate_sha256=digest)
    with pytest.raises(ProcessorError, match="another certificate"):
        approved(drive(), processor, certificate_sha256="0" * 64)


def test_the_sample_is_even_holds_both_ends_and_does_not_show_itself(processor):
    made = approved(drive(), processor)
    sample = sample_of(made.source, made.track, 5)
    stored = json.loads(sample.content())
    assert len(stored["before"]) == len(stored["after"]) == 5
    assert stored["before"][0] == [made.source.lat[0], made.source.lon[0]]
    assert stored["after"][-1] == [made.track.lat[-1], made.track.lon[-1]]
    assert "39.9" not in repr(sample)
    assert len(sample_of(made.source, made.track, 10_000).before) == 400
    with pytest.raises(LimitExceededError):
        sample_of(made.source, made.track, 0)
    with pytest.raises(ProcessorError, match="one length"):
        sample_of(made.source, drive(fixes=10), 5)


WRITERS = {
    "text/csv": write_csv_track,
    "application/gpx+xml": write_gpx,
    "application/geo+json": write_geojson_track,
}


def scanned(content, media_type, made, processor, shift_s=SHIFT_S):
    return scan_approved(
        content, media_type, original=made.source, processor=processor, shift_s=shift_s, profile=PROFILE
    )


@pytest.mark.parametrize("media_type", WRITERS)
def test_a_written_track_is_the_processors_to_a_centimetre(media_type, processor):
    made = approved(drive(), processor)
    report = scanned(WRITERS[media_type](made.track), media_type, made, processor)
    assert report.clean, report.residual
    assert report.facts["fixes"] == 400


@pytest.mark.parametrize("media_type", WRITERS)
@pytest.mark.parametrize(
    ("spoil", "label"),
    [
        (lambda t: replace(t, lat=np.where(np.arange(400) == 7, t.lat + 2e-7, t.lat)), "position"),
        (lambda t: replace(t, time_s=t.time_s + 0.01), "timestamp"),
        (lambda t: replace(t, time_s=t.time_s - SHIFT_S), "timestamp"),
        (lambda t: replace(t, elevation_m=np.full(400, 3.0)), "elevation"),
        (lambda t: t.take(np.arange(399), t.segment[:399]), "position"),
    ],
)
def test_the_scan_finds_what_is_not_the_processors(media_type, spoil, label, processor):
    made = approved(drive(), processor)
    report = scanned(WRITERS[media_type](spoil(made.track)), media_type, made, processor)
    assert label in {f.kind.value for f in report.residual}


def test_the_scan_refuses_true_positions_small_shifts_and_other_documents(processor):
    made = approved(drive(), processor)
    assert not scanned(write_csv_track(made.source), "text/csv", made, processor).clean
    near = approve_track(drive(), processor=processor, now=NOW, shift_s=60.0)
    assert not scanned(write_csv_track(near.track), "text/csv", near, processor, 60.0).clean
    assert not scanned(b"not a track", "text/csv", made, processor).clean


def test_a_plan_carries_the_processor_through_trims_times_poses_and_sweeps(processor):
    track = replace(drive(fixes=900), segment=np.zeros(900, np.int32))
    displacement = ApprovedDisplacement(processor, PROFILE, now=NOW)
    plan = plan_approved(track, key=KEY, context=b"r", profile=PROFILE, displacement=displacement)
    assert plan.shift_s == time_shift_s(key=KEY, context=b"r")
    inner = track.take(plan.kept[0], np.zeros(len(plan.kept[0]), np.int32))
    assert 0 < len(inner) < 900
    lat, lon, _ = processor.process(inner.lat, inner.lon, None)
    moved = plan.offset.displace(inner.lat, inner.lon)
    assert geodesic_m(lat, lon, *moved)[0].max() < 1e-6
    rotation = np.eye(3)
    carried = plan.offset.displace_carried(
        [[30.0, 40.0, 0.0]], lat=float(inner.lat[0]), lon=float(inner.lon[0]), height_m=0.0, rotation=rotation
    )
    body = plan.offset.displace_poses(inner.lat[:1], inner.lon[:1], rotation[None])
    frame = EnuFrame(lat0=float(body[0][0]), lon0=float(body[1][0]))
    placed = to_wgs84(*(carried @ body[2][0].T).T[:2], frame, (carried @ body[2][0].T).T[2])
    ground = to_wgs84([30.0], [40.0], EnuFrame(lat0=float(inner.lat[0]), lon0=float(inner.lon[0])), [0.0])
    want = processor.process(ground[0], ground[1], None)
    assert geodesic_m(placed[0], placed[1], want[0], want[1])[0].max() < 0.01
    with pytest.raises(LimitExceededError, match="no inverse"):
        plan.offset.invert([39.0], [116.0])


def test_heights_of_other_channels_are_the_processors_or_go(processor):
    kept = ApprovedDisplacement(processor, replace(PROFILE, keep_elevation=True), now=NOW)
    assert kept.displace_in([39.9], [116.3], [10.0], "EPSG:4326")[2] == pytest.approx(13.0)
    dropped = ApprovedDisplacement(processor, PROFILE, now=NOW)
    assert dropped.displace_in([39.9], [116.3], [10.0], "EPSG:4326")[2] is None
    down = dropped.displace_in(*from_wgs84([39.9], [116.3], "EPSG:4978", [500.0]), "EPSG:4978")
    assert abs(to_wgs84(down[0], down[1], "EPSG:4978", down[2])[2][0]) < 0.01
    assert "secret" in repr(dropped)


def test_the_double_refuses_to_run_outside_tests(monkeypatch):
    monkeypatch.delenv(ALLOWED)
    with pytest.raises(RuntimeError, match="outside tests"):
        UnsafeTestProcessor()
    clean = {k: v for k, v in os.environ.items() if k != "PYTEST_CURRENT_TEST"}
    tests = Path(__file__).resolve().parents[2]
    code = "import unsafe_secrecy_processor as u; u.UnsafeTestProcessor()"
    done = subprocess.run(  # noqa: S603 - this interpreter
        [sys.executable, "-c", code],
        check=False, capture_output=True, text=True, cwd=tests,
        env={**clean, ALLOWED: "1", "PYTHONPATH": f"{tests}{os.pathsep}{tests.parent}"},
    )  # fmt: skip
    assert done.returncode != 0
    assert "outside tests" in done.stderr


@pytest.fixture
def install(tmp_path, monkeypatch):
    def put(*entries):
        (tmp_path / "state.py").write_text(
            "from unsafe_secrecy_processor import UnsafeTestProcessor as Made\n"
            "class Bare: pass\n"
            "def broken(): raise OSError('dongle missing')\n"
        )
        info = tmp_path / "state-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: state\nVersion: 1.0\n")
        lines = "".join(f"e{i} = state:{entry}\n" for i, entry in enumerate(entries))
        (info / "entry_points.txt").write_text(f"[{GROUP}]\n{lines}")
        monkeypatch.syspath_prepend(str(tmp_path))

    installed_processor.cache_clear()
    yield put
    installed_processor.cache_clear()
    sys.modules.pop("state", None)


def test_the_one_installed_processor_is_taken(install):
    install("Made")
    assert isinstance(installed_processor(), SecrecyProcessor)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([], "one entry point"),
        (["Made", "Made"], r"\['e0', 'e1'\]"),
        (["broken"], "OSError: dongle missing"),
        (["Nothing"], "cannot be loaded"),
        (["Bare"], "no attestation"),
    ],
)
def test_none_several_and_broken_processors_are_errors_that_name_them(install, entries, message):
    install(*entries)
    with pytest.raises(ProcessorError, match=message):
        installed_processor()
