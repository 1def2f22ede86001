import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from anonymize.containers.alignment import Samples, Way, align
from anonymize.containers.positions import tracks_of
from anonymize.errors import MalformedItemError
from anonymize.geo.crs import from_wgs84, geodesic_m
from anonymize.profile import shipped_profile
from recorded_drive import BEGIN_S, UTM, Drive, Recorder, drive, opened

PROFILE = shipped_profile("cn-2026").profile


@pytest.fixture(scope="module")
def made() -> Drive:
    return drive(seconds=300)


@pytest.mark.parametrize("ros1", [False, True])
def test_the_track_of_a_recording_is_the_one_that_was_driven(ros1: bool) -> None:  # noqa: FBT001
    made = drive(seconds=20, ros1=ros1)
    (track,) = tracks_of(made.container, profile=PROFILE)
    assert track.lat.tolist() == made.track.lat.tolist()
    assert track.lon.tolist() == made.track.lon.tolist()
    assert track.elevation_m.tolist() == made.track.elevation_m.tolist()
    assert np.abs(track.time_s - made.track.time_s).max() < 1e-6


def test_messages_without_a_fix_add_nothing() -> None:
    recorder = Recorder()
    recorder.fix(10.0, 39.9, 116.3, 1.0)
    recorder.fix(11.0, math.nan, math.nan, math.nan)
    recorder.fix(12.0, 0.0, 0.0, 0.0)
    recorder.fix(13.0, 39.0, 116.0, 0.0, status=-1)
    recorder.fix(14.0, 39.8, 116.2, math.nan)
    (track,) = tracks_of(opened(recorder.messages), profile=PROFILE)
    assert track.time_s.tolist() == [10.0, 14.0]
    assert track.lat.tolist() == [39.9, 39.8]
    assert math.isnan(track.elevation_m[1])


def test_a_container_without_fixes_has_no_track() -> None:
    recorder = Recorder()
    recorder.imu(10.0, 0.0)
    recorder.fix(11.0, math.nan, math.nan, math.nan)
    assert tracks_of(opened(recorder.messages), profile=PROFILE) == ()


def test_a_malformed_fix_names_topic_and_number_and_no_content() -> None:
    recorder = Recorder()
    recorder.fix(10.0, 39.9, 116.3, 1.0)
    recorder.fix(11.0, 39.123456, 116.3, 1.0)
    recorder.messages[1] = replace(recorder.messages[1], data=recorder.messages[1].data[:-20])
    with pytest.raises(MalformedItemError, match="message 1 of topic '/gnss/fix'") as caught:
        tracks_of(opened(recorder.messages), profile=PROFILE)
    assert "39.1" not in str(caught.value)


def samples(made: Drive, x: Any, y: Any) -> Samples:
    return Samples(time_s=made.track.time_s, x_m=np.asarray(x), y_m=np.asarray(y))


def test_a_grid_and_a_turned_frame_are_aligned_to_a_millimetre(made: Drive) -> None:
    east, north = from_wgs84(made.track.lat, made.track.lon, UTM)
    turned = (east + 1j * north - (east[0] + 1j * north[0])) * np.exp(0.7j) + (100 - 50j)
    for x, y in ((east, north), (turned.real, turned.imag)):
        found = align(samples(made, x, y), made.track)
        assert found is not None
        lat, lon = found.to_wgs84(x, y)
        assert geodesic_m(lat, lon, made.track.lat, made.track.lon)[0].max() < 1e-3
        again = found.from_wgs84(lat, lon)
        assert np.hypot(again[0] - x, again[1] - y).max() < 1e-6


def test_noise_and_outliers_do_not_hinder_an_alignment(made: Drive) -> None:
    rng = np.random.default_rng(3)
    east, north = from_wgs84(made.track.lat, made.track.lon, UTM)
    x, y = east + rng.normal(0, 0.5, len(east)), north + rng.normal(0, 0.5, len(east))
    x[::50] += 300.0
    found = align(samples(made, x, y), made.track)
    assert found is not None
    lat, lon = found.to_wgs84(east, north)
    assert geodesic_m(lat, lon, made.track.lat, made.track.lon)[0].max() < 0.5


@pytest.mark.parametrize("wrong", ["mirrored", "scaled", "elsewhere", "still", "few"])
def test_what_does_not_fit_is_not_aligned(made: Drive, wrong: str) -> None:
    east, north = from_wgs84(made.track.lat, made.track.lon, UTM)
    x, y = {
        "mirrored": (-east, north),
        "scaled": (1.3 * east, 1.3 * north),
        "elsewhere": tuple(np.random.default_rng(1).uniform(-500, 500, (2, len(east)))),
        "still": (np.zeros(len(east)), np.zeros(len(east))),
        "few": (east, north),
    }[wrong]
    keep = slice(0, 5) if wrong == "few" else slice(None)
    given = Samples(time_s=made.track.time_s[keep], x_m=x[keep], y_m=y[keep])
    assert align(given, made.track) is None


def test_a_way_is_known_between_neighbouring_fixes_only(made: Drive) -> None:
    way = Way(made.track)
    lat, _, known = way.at(np.array([BEGIN_S - 1.0, BEGIN_S + 0.25, BEGIN_S + 1e6]), max_gap_s=1.0)
    assert known.tolist() == [False, True, False]
    assert min(made.track.lat[:2]) <= lat[1] <= max(made.track.lat[:2])
    assert not Way(made.track).at(np.array([BEGIN_S + 0.25]), max_gap_s=0.1)[2].any()
