"""Law 7, unlinkable: two releases share no id, file name, time base, offset or order that joins them; one trip is
never released twice."""

import csv
import io
import itertools
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from conformance.conftest import Commons
from conformance.drives import CAPTURED, KEYED, fixes, sweep, track, trip
from gateway.errors import ConflictError, DeniedError
from gateway.flow.gate import Gate
from gateway.flow.recording import ReleaseMode
from gateway.flow.records import ItemRow, ReleaseItemRow, ReleaseRecordingRow
from gateway.flow.release import load_approved, load_released, release, revoke_release
from gateway.flow.serve import read_item
from gateway.vault.jws import verify_statement
from simulators import PURPOSE, RECIPIENT, candidate, cleanse, grant, publish, sign

# No statement of this law is one of the database; the flow itself is tested on both.
pytestmark = pytest.mark.parametrize("commons", ["sqlite"], indirect=True, scope="session")

# What every release of one gate says alike, because it is not about the trip: form, profile, policy, parties.
COMMON = {
    "1", PURPOSE, RECIPIENT, "LOCAL", "OFFSET", "cn-2026", "text/csv", "application/octet-stream", "TRAJ_REL",
    "TRAJ_ABS", "POINT_CLOUD", "S3_SENSITIVE_GEO", "first", "second", "in_zone",
}  # fmt: skip


def scalars(value: Any) -> set[str]:
    if isinstance(value, Mapping):
        return set().union(*(scalars(each) for each in value.values()), set())
    if isinstance(value, list | tuple):
        return set().union(*(scalars(each) for each in value), set())
    return {str(value)}


def told(gate: Gate, commons: Commons, release_id: str) -> set[str]:
    """Every value that the recipient is told: manifest and the approvals inside it."""
    with gate.database.read() as session:
        manifest = dict(load_released(gate, session, release_id).manifest)
    approvals = manifest.pop("approvals")
    found = scalars(manifest)
    for statement, person in zip(approvals, ("first", "second"), strict=True):
        found |= scalars(
            verify_statement(statement, "fleetgate-approval+jwt", commons.house.people[person].key)
        )
    return found - COMMON - {gate.profile.digest, gate.bundle.bundle.digest}


def items(commons: Commons, release_id: str) -> dict[str, bytes]:
    with commons.gate.database.read() as session:
        names = session.scalars(sa.select(ReleaseItemRow.name).filter_by(release_id=release_id)).all()
    reader = commons.actor("engineer")
    return {
        name: b"".join(
            read_item(commons.gate, release_id, name, actor=reader, purpose=PURPOSE, wanted=None).chunks
        )
        for name in names
    }


def rows(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode())))


@pytest.fixture(scope="module")
def twins(commons: Commons) -> SimpleNamespace:
    """Releases of recordings whose files differ by a byte only: whatever they share could join them."""
    made = {}
    for mode in KEYED:
        for number in range(2):
            recording = cleanse(commons.gate, nearly_alike(number, mode), captured=CAPTURED)
            release_id = candidate(commons.gate, commons.house, recording, mode=mode)
            publish(commons.gate, commons.house, release_id)
            grant(commons.gate, commons.house, release_id)
            made[mode, number] = SimpleNamespace(recording=recording, release=release_id)
    return SimpleNamespace(**{f"{mode}{number}": value for (mode, number), value in made.items()})


def nearly_alike(number: int, mode: ReleaseMode) -> dict[str, bytes]:
    """The same road at the same time; a trailing comment column keeps the bytes apart."""
    base = trip(800 if mode is ReleaseMode.LOCAL else 801)
    head, _, body = base["drive.csv"].decode().partition("\n")
    lines = [f"{head},n"] + [f"{line},{number}" for line in body.splitlines()]
    points = sweep(810 + 10 * number + KEYED.index(mode))
    return {"drive.csv": ("\n".join(lines) + "\n").encode(), "lidar/000000.bin": points}


@pytest.mark.parametrize("mode", KEYED)
def test_two_releases_are_told_nothing_in_common(commons: Commons, twins: SimpleNamespace, mode: ReleaseMode):
    first, second = (told(commons.gate, commons, getattr(twins, f"{mode}{n}").release) for n in range(2))
    sizes = {value for value in first & second if value.isdigit()}
    assert first & second == sizes, "ids, names, digests or times join two releases"


@pytest.mark.parametrize("mode", KEYED)
def test_neither_recording_item_nor_vehicle_id_is_told(
    commons: Commons, twins: SimpleNamespace, mode: ReleaseMode
):
    for number in range(2):
        out = getattr(twins, f"{mode}{number}")
        with commons.gate.database.read() as session:
            ids = session.scalars(sa.select(ItemRow.id).filter_by(recording_id=out.recording)).all()
        values = told(commons.gate, commons, out.release)
        parts = [identifier[:8] for identifier in (out.recording, *ids)]
        for secret in ("vehicle-01", "drive.csv", "000000.bin", *parts):
            assert all(secret not in value for value in values)
        for content in items(commons, out.release).values():
            assert all(secret.encode() not in content for secret in ("vehicle-01", *parts))


def test_names_and_their_order_say_nothing_of_the_recording(commons: Commons):
    """Five items of equal kind: in the released order they are shuffled differently in each release."""
    orders = set()
    for number in range(3):
        files = {f"lidar{i}/000000.bin": sweep(2000 + 50 * number + i) for i in range(5)}
        made = candidate(commons.gate, commons.house, cleanse(commons.gate, files, attestation="none near"))
        with commons.gate.database.read() as session:
            listed = session.execute(
                sa.select(ReleaseItemRow.name, ItemRow.position)
                .join(ItemRow, ItemRow.id == ReleaseItemRow.item_id)
                .where(ReleaseItemRow.release_id == made)
                .order_by(ReleaseItemRow.name)
            ).all()
        orders.add(tuple(position for _, position in listed))
        assert all(not any(part in name for part in ("000000", "lidar")) for name, _ in listed)
    assert len(orders) > 1
    assert orders != {(0, 1, 2, 3, 4)}


def test_local_clips_start_at_zero_in_frames_of_their_own(commons: Commons, twins: SimpleNamespace):
    shapes = []
    for number in range(2):
        released = items(commons, getattr(twins, f"LOCAL{number}").release)
        table = rows(next(content for name, content in released.items() if name.endswith(".csv")))
        clip, time = list(table[0])[:2]
        starts = {}
        for row in table:
            starts.setdefault(row[clip], float(row[time]))
        assert set(starts.values()) == {0.0}
        shapes.append([tuple(row.values()) for row in table])
    positions = [{row[2:4] for row in shape} for shape in shapes]
    assert not positions[0] & positions[1], "one road gave the same coordinates in two releases"


def test_offset_releases_move_and_shift_the_same_road_differently(commons: Commons, twins: SimpleNamespace):
    tables = []
    for number in range(2):
        released = items(commons, getattr(twins, f"OFFSET{number}").release)
        tables.append(rows(next(content for name, content in released.items() if name.endswith(".csv"))))
    times = [{row["time"] for row in table} for table in tables]
    true_times = {row["time"] for row in rows(track(801))}
    places = [{(row["lat"][:9], row["lon"][:10]) for row in table} for table in tables]
    truth = {(f"{lat:.7f}"[:9], f"{lon:.7f}"[:10]) for lat, lon in fixes(801)}
    assert not times[0] & times[1]
    assert not any(each & true_times for each in times)
    assert not places[0] & places[1]
    assert not any(each & truth for each in places)
    # Keys are drawn at random: the starts alone of two releases come near one another once in some hundred times.
    ends = [np.array([[float(t[i]["lat"]), float(t[i]["lon"])] for i in (0, -1)]) for t in tables]
    apart_m = np.abs(ends[0] - ends[1]).max() * 111_320
    assert apart_m > 5, "two releases start and end at one place"


def denial(call) -> DeniedError:
    with pytest.raises(DeniedError) as error:
        call()
    return error.value


def twice(error: DeniedError) -> set[str]:
    return {violation.rule for violation in error.decision.violations}


@pytest.mark.parametrize("mode", KEYED)
def test_one_recording_is_not_released_twice(commons: Commons, twins: SimpleNamespace, mode: ReleaseMode):
    error = denial(lambda: candidate(commons.gate, commons.house, twins.LOCAL0.recording, mode=mode))
    assert "trip_once" in twice(error)


def test_the_same_files_under_another_recording_are_the_same_trip(commons: Commons):
    files = trip(700)
    first = cleanse(commons.gate, files, captured=CAPTURED)
    made = candidate(commons.gate, commons.house, first)
    publish(commons.gate, commons.house, made)
    again = cleanse(commons.gate, files, captured=CAPTURED)
    assert "trip_once" in twice(denial(lambda: candidate(commons.gate, commons.house, again)))
    partly = cleanse(commons.gate, {**trip(701), "drive.csv": files["drive.csv"]}, captured=CAPTURED)
    assert "trip_once" in twice(denial(lambda: candidate(commons.gate, commons.house, partly)))


def test_a_calibration_that_two_drives_carry_does_not_make_them_one_trip(commons: Commons):
    shared = {"calib.txt": b"P0: 7.070493000000e+02 0.000000000000e+00 6.040814000000e+02\n"}
    for seed in (702, 703):
        recording = cleanse(commons.gate, {**trip(seed), **shared}, captured=CAPTURED)
        publish(commons.gate, commons.house, candidate(commons.gate, commons.house, recording))


def test_a_revocation_does_not_free_the_trip(commons: Commons):
    made = commons.released()
    with commons.gate.database.read() as session:
        recording = session.scalar(sa.select(ReleaseRecordingRow.recording_id).filter_by(release_id=made))
    revoke_release(commons.gate, made, actor=commons.actor("first"))
    error = denial(lambda: candidate(commons.gate, commons.house, recording))
    assert "trip_once" in twice(error)


def test_of_two_candidates_of_one_trip_only_one_goes_out(commons: Commons):
    """Both are judged and signed before either is published."""
    recording = commons.cleansed()
    gate, house = commons.gate, commons.house
    made = [candidate(gate, house, recording) for _ in range(2)]
    approved = []
    for each in made:
        for person in ("first", "second"):
            sign(gate, house, each, person)
        approved.append(load_approved(gate, each, actor=commons.actor("first")))
    release(gate, approved[0], actor=commons.actor("first"))
    with pytest.raises(ConflictError):
        release(gate, approved[1], actor=commons.actor("first"))
    error = denial(lambda: load_approved(gate, made[1], actor=commons.actor("first")))
    assert "trip_once" in twice(error)


def test_one_release_moves_all_tracks_of_a_drive_alike_and_each_release_otherwise(commons: Commons):
    """Two copies of one drive under two shifts would undo each other."""
    moved = []
    for number in range(2):
        plain = track(820 + number)
        other = plain.replace(b"12.0\n", b"12.5\n")
        recording = cleanse(commons.gate, {"a.csv": plain, "b.csv": other}, captured={})
        made = candidate(commons.gate, commons.house, recording, mode=ReleaseMode.OFFSET)
        publish(commons.gate, commons.house, made)
        grant(commons.gate, commons.house, made)
        tables = [rows(content) for content in items(commons, made).values()]
        assert len(tables) == 2
        places = [[(row["lat"], row["lon"], row["time"]) for row in table] for table in tables]
        assert places[0] == places[1]
        moved.append(places[0][0])
    assert len({tuple(each) for each in moved}) == 2


def test_release_ids_are_random(twins: SimpleNamespace):
    ids = [getattr(twins, f"{mode}{n}").release for mode, n in itertools.product(KEYED, range(2))]
    assert len({identifier[:4] for identifier in ids}) > 1
    assert all(len(identifier) == 32 for identifier in ids)
