"""A displaced way that runs over its true place costs a release nothing: its key is drawn anew first (law 7)."""

import hashlib
from collections.abc import Callable
from datetime import timedelta
from itertools import count

import numpy as np
import pytest

from anonymize.containers.mcap_writer import write_mcap
from anonymize.formats.csv_track import read_csv_track
from anonymize.geo.crossing import comes_near_truth
from anonymize.geo.crs import from_wgs84
from anonymize.geo.displacement import KeyedOffset
from anonymize.profile import shipped_profile
from audit.events import EventType, Outcome
from audit.query import EntryFilter, find_all
from gateway.errors import ConflictError, InvalidRequestError
from gateway.flow import build, draw
from gateway.flow.build import build_release, load_built
from gateway.flow.gate import Gate
from gateway.flow.recording import Built, ReleaseMode
from gateway.flow.records import ReleaseRow
from gateway.flow.request import ReleaseRequest, request_release, unlink_context
from gateway.flow.unlink import released_stem
from gateway.review.shown_drives import secret_of
from gateway.vault.values import seal_value
from recorded_drive import BEGIN_S, UTM, Recorder
from simulators import PURPOSE, RECIPIENT, House, cleanse, csv_track

LAT, LON = 39.9, 116.3
STEP_M = 10.0
PLACES = 480
"""4.8 km: OFFSET trims up to 1.5 km at each end."""

ROAD = LON + np.arange(PLACES) * STEP_M / (111_320.0 * np.cos(np.radians(LAT)))
TRACKS = shipped_profile("cn-2026").profile.tracks


class Killed(BaseException):
    """The process is gone."""


def road() -> bytes:
    """A straight drive to the east: a fix every 20 m, and odometry in UTM at the places between."""
    recorder = Recorder()
    easting, northing = from_wgs84(np.full(PLACES, LAT), ROAD, UTM)
    for i in range(PLACES):
        if i % 2 == 0:
            recorder.fix(BEGIN_S + i, LAT, float(ROAD[i]), 43.5)
        else:
            recorder.odometry("/localization", "map", BEGIN_S + i, easting[i], northing[i], 43.5, 0.0)
    return b"".join(write_mcap(recorder.messages, profile="ros2", chunk_bytes=1 << 18))


def colliding() -> bytes:
    """The first of a row of keys that moves the road along itself: within 10 m to the side everywhere."""
    for number in count():
        key = hashlib.sha256(b"%d" % number).digest()
        lat, _ = KeyedOffset(key, TRACKS).displace(np.full(PLACES, LAT), ROAD)
        if np.abs(lat - LAT).max() * 111_200.0 < STEP_M:
            return key
    raise AssertionError


@pytest.fixture
def recording(sqlite_gate: Gate) -> str:
    note = "第一段：天气晴，城市道路。\n".encode()
    return cleanse(sqlite_gate, {"drive.mcap": road(), "notes/a.txt": note})


def requested(
    gate: Gate, house: House, recording: str, *, key: bytes, mode: ReleaseMode = ReleaseMode.OFFSET
) -> str:
    """A requested release whose key is a given one."""
    request = ReleaseRequest(
        recordings=(recording,),
        purpose=PURPOSE,
        recipient=RECIPIENT,
        mode=mode,
        expires_at=gate.clock() + timedelta(days=30),
    )
    made = request_release(gate, request, actor=house.people["submitter"].actor)
    with gate.database.transaction() as session:
        row = session.get_one(ReleaseRow, made)
        row.unlink_sealed = seal_value(
            gate.keystore, kek_id=row.kek_id, context=unlink_context(made), plaintext=key
        )
    return made


def built(gate: Gate, release: str) -> Built:
    build_release(gate, release)
    with gate.database.read() as session:
        return load_built(gate, session, release)


def key_of(gate: Gate, release: str) -> bytes:
    with gate.database.read() as session:
        return secret_of(gate, session, release)


def draws(gate: Gate, release: str) -> list[Outcome]:
    wanted = EntryFilter(release=release, types=(EventType.RELEASE_KEY_DRAW,))
    with gate.ledger.snapshot() as snapshot:
        found = sorted(find_all(snapshot, wanted), key=lambda entry: entry.index)
    return [entry.event.outcome for entry in found]


def killed_at(monkeypatch: pytest.MonkeyPatch, module: object, name: str, *, call: int = 1) -> None:
    whole: Callable[..., object] = getattr(module, name)
    calls = count(1)

    def die(*args: object, **more: object) -> object:
        if next(calls) == call:
            raise Killed
        return whole(*args, **more)

    monkeypatch.setattr(module, name, die)


def require_one_key(gate: Gate, made: Built) -> None:
    key = key_of(gate, made.terms.release)
    assert [item.name.partition(".")[0] for item in made.items] == [
        released_stem(key, item.source) for item in made.items
    ]


def test_a_key_that_leads_a_way_over_itself_is_drawn_anew_and_every_item_leaves(
    sqlite_gate: Gate, sqlite_house: House, recording: str, monkeypatch: pytest.MonkeyPatch
):
    gate, key = sqlite_gate, colliding()
    # Without a draw the container is refused by the scan itself, under this key and no other reason.
    with monkeypatch.context() as patch:
        patch.setattr(draw, "MOST_DRAWS", 0)
        refused = built(gate, requested(gate, sqlite_house, recording, key=key))
    assert list(refused.left_out.values()) == ["residual_found"]
    assert key_of(gate, refused.terms.release) == key
    assert draws(gate, refused.terms.release) == []

    release = requested(gate, sqlite_house, recording, key=key)
    whole = built(gate, release)
    assert (len(whole.items), dict(whole.left_out)) == (2, {})
    assert key_of(gate, release) != key
    made = draws(gate, release)
    assert made == [Outcome.INTENT, Outcome.COMPLETED] * (len(made) // 2)
    assert 1 <= len(made) // 2 <= draw.MOST_DRAWS
    require_one_key(gate, whole)


def test_a_gate_that_is_killed_around_a_draw_goes_on_with_the_key_of_its_state(
    sqlite_gate: Gate, sqlite_house: House, recording: str, monkeypatch: pytest.MonkeyPatch
):
    gate, key = sqlite_gate, colliding()
    release = requested(gate, sqlite_house, recording, key=key)
    with monkeypatch.context() as patch:
        killed_at(patch, draw, "seal_value")
        with pytest.raises(Killed):
            build_release(gate, release)
    assert key_of(gate, release) == key
    before = len(draws(gate, release))
    assert before > 0  # the attempt counts against the bound
    with monkeypatch.context() as patch:
        killed_at(patch, build, "_build_item")
        with pytest.raises(Killed):
            build_release(gate, release)
    drawn, after = key_of(gate, release), draws(gate, release)
    assert drawn != key
    assert len(after) > before
    whole = built(gate, release)
    assert (len(whole.items), dict(whole.left_out)) == (2, {})
    assert (key_of(gate, release), draws(gate, release)) == (drawn, after)
    require_one_key(gate, whole)


def test_once_an_item_is_built_the_key_stays(
    sqlite_gate: Gate, sqlite_house: House, recording: str, monkeypatch: pytest.MonkeyPatch
):
    gate, key = sqlite_gate, colliding()
    release = requested(gate, sqlite_house, recording, key=key)
    with monkeypatch.context() as patch:
        patch.setattr(draw, "MOST_DRAWS", 0)
        killed_at(patch, build, "_finish_build")
        with pytest.raises(Killed):
            build_release(gate, release)
    whole = built(gate, release)
    assert key_of(gate, release) == key
    assert draws(gate, release) == []
    assert (len(whole.items), list(whole.left_out.values())) == (1, ["residual_found"])
    require_one_key(gate, whole)


def test_draws_are_bounded_and_an_item_of_another_key_is_none(
    sqlite_gate: Gate, sqlite_house: House, monkeypatch: pytest.MonkeyPatch
):
    gate, key = sqlite_gate, colliding()
    recording = cleanse(gate, {"drive.mcap": road()})
    release = requested(gate, sqlite_house, recording, key=key)
    monkeypatch.setattr(draw.random, "token_bytes", lambda _: key)
    monkeypatch.setattr(draw, "MOST_DRAWS", 2)
    for _ in range(2):
        with pytest.raises(InvalidRequestError, match="no item to offer"):
            build_release(gate, release)
    assert draws(gate, release) == [Outcome.INTENT, Outcome.COMPLETED] * 2
    with gate.database.transaction() as session, pytest.raises(ConflictError, match="drew"):
        draw.require_drawn(session, release, b"the sealed key of before")


def test_other_modes_draw_nothing(sqlite_gate: Gate, sqlite_house: House, recording: str):
    release = requested(sqlite_gate, sqlite_house, recording, key=colliding(), mode=ReleaseMode.LOCAL)
    assert not built(sqlite_gate, release).left_out
    assert draws(sqlite_gate, release) == []


def test_ways_that_come_near_the_truth_are_told_from_those_that_do_not():
    rows = "".join(f"{LAT},{lon:.7f},2026-09-14T01:{i // 60:02}:{i % 60:02}Z\n" for i, lon in enumerate(ROAD))
    straight = read_csv_track(f"lat,lon,time\n{rows}".encode(), profile=TRACKS, crs="EPSG:4326")
    winding = read_csv_track(csv_track(), profile=TRACKS, crs="EPSG:4326")
    assert comes_near_truth([straight], KeyedOffset(colliding(), TRACKS))
    assert comes_near_truth([winding, straight], KeyedOffset(colliding(), TRACKS))
    aside = 0
    for number in range(20):
        offset = KeyedOffset(hashlib.sha256(b"%d" % number).digest(), TRACKS)
        lat, _ = offset.displace(np.full(PLACES, LAT), ROAD)
        aside += not comes_near_truth([straight], offset)
        if np.abs(lat - LAT).min() * 111_200.0 < STEP_M:
            assert comes_near_truth([straight], offset)
    assert aside > 10
    assert not comes_near_truth([], offset)
