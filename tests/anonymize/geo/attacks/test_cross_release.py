"""Joining releases by steps: twins under other keys are found, drives that are in no other release are not."""

import numpy as np
import pytest

from anonymize.formats.track import Track
from anonymize.geo.attacks.cross_release import Drive, drive_of, join
from anonymize.geo.attacks.figures import join_figures
from anonymize.geo.local import to_local
from anonymize.geo.offset import offset_track
from anonymize.geo.prf import subkey
from streets import degrees

KEYS = subkey(bytes(32), "one"), subkey(bytes(32), "two")


def fleet(count: int = 12) -> list[Track]:
    """Drives of vehicles of one kind along one road: only how they are driven tells them apart."""
    tracks = []
    for number in range(count):
        rng = np.random.default_rng(number)
        pushes = rng.normal(0.0, 1.0, 740)
        speed = np.clip(10.0 + np.convolve(pushes, np.hanning(41), "valid"), 0.0, 20.0)
        along = np.cumsum(speed)
        places = along + 1j * 200.0 * np.sin(along / 700.0)
        lat, lon = degrees(places - 4000.0)
        tracks.append(
            Track(
                lat=lat,
                lon=lon,
                time_s=1.7e9 + np.arange(700.0),
                elevation_m=np.full(700, np.nan),
                speed_mps=np.full(700, np.nan),
                segment=np.zeros(700, np.int32),
                crs="EPSG:4326",
            )
        )
    return tracks


def released(track: Track, key: bytes, mode: str, profile) -> Drive:
    if mode == "LOCAL":
        clips = to_local(track, key=key, context=b"drive", profile=profile).clips
        return drive_of(c.x_m + 1j * c.y_m for c in clips)
    moved = offset_track(track, key=key, context=b"drive", profile=profile).track
    east = (moved.lon - moved.lon[0]) * 85_300.0
    return drive_of([(east + 1j * (moved.lat - moved.lat[0]) * 111_200.0)[part] for part in moved.segments()])


@pytest.fixture(scope="module")
def tracks() -> list[Track]:
    return fleet()


@pytest.mark.parametrize("modes", [("OFFSET", "OFFSET"), ("LOCAL", "LOCAL"), ("OFFSET", "LOCAL")])
def test_one_trip_under_two_keys_is_joined_whatever_the_mode(tracks, profile, modes):
    queries = [(str(n), released(t, KEYS[0], modes[0], profile)) for n, t in enumerate(tracks)]
    held = [(str(n), released(t, KEYS[1], modes[1], profile)) for n, t in enumerate(tracks)]
    figure = join_figures(queries, held, progress=lambda *_: None)
    assert (figure.drives, figure.found, figure.claimed_wrong, figure.alone) == (12, 12, 0, 0)


@pytest.mark.parametrize("mode", ["OFFSET", "LOCAL"])
def test_a_drive_that_no_other_release_holds_is_not_claimed(tracks, profile, mode):
    queries = [(str(n), released(t, KEYS[0], mode, profile)) for n, t in enumerate(tracks[:4])]
    held = [(str(n), released(t, KEYS[1], mode, profile)) for n, t in enumerate(tracks) if n >= 4]
    figure = join_figures(queries, held, progress=lambda *_: None)
    assert (figure.drives, figure.alone, figure.alone_claimed) == (0, 4, 0)


def test_standing_vehicles_do_not_agree():
    rng = np.random.default_rng(1)
    standing = [drive_of([np.cumsum(np.abs(rng.normal(0, 0.003, 400))) + 0j]) for _ in range(3)]
    joined = join(standing[0], standing[1:])
    assert joined is not None
    assert not joined.claimed


def test_nothing_to_compare_is_no_join():
    some = drive_of([np.arange(20) + 0j])
    assert join(Drive(pieces=()), [some]) is None
    assert join(some, [Drive(pieces=())]) is None
    assert join(some, []) is None


def test_the_score_is_that_of_the_plain_sum_at_the_best_lag():
    rng = np.random.default_rng(2)
    steps = rng.uniform(0.0, 20.0, 300)
    other = steps[120:200] + rng.normal(0.0, 0.05, 80)
    joined = join(Drive(pieces=(other,)), [Drive(pieces=(steps,)), Drive(pieces=(rng.uniform(0, 20, 300),))])
    stretch = np.sum(other * steps[120:200]) / np.sum(steps[120:200] ** 2)
    apart = np.mean((other - stretch * steps[120:200]) ** 2)
    noise = 0.02**2 + 0.004**2 * np.mean(other**2)
    assert joined is not None
    assert joined.best == 0
    assert joined.score == pytest.approx(40.0 * np.log((other.var() + noise) / (apart + noise)), rel=1e-6)
