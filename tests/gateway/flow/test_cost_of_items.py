"""An item of a large recording or release costs no more than one of a small one, counted in operations, not time.

What is kept from one item to the next is only what was verified from the very same bytes: an altered manifest, a
revoked release, an ended grant and a destroyed key are refused at the next act of the process (laws 1, 6 and 9).
"""

import json
import sys
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from gateway.errors import DeniedError, EvidenceError
from gateway.flow import intake, offer
from gateway.flow.gate import Gate
from gateway.flow.intake import Delivery, announce, load_manifest, receive_item
from gateway.flow.recording import ReleaseState
from gateway.flow.records import RecordingRow, ReleaseRow
from gateway.flow.release import revoke_grant, revoke_release
from gateway.flow.serve import NoGrantError, read_item
from gateway.flow.verified import VerifiedOnce
from gateway.vault.errors import KeyDestroyedError
from simulators import PURPOSE, House, candidate, cleanse, grant, manifest_of, publish, vehicle_actor

LITTLE, MUCH = 4, 400


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    return House(home=tmp_path_factory.mktemp("cost"))


@pytest.fixture(scope="module")
def gate(house: House) -> Iterator[Gate]:
    with house.opened() as gate:
        house.furnish(gate)
        yield gate


def notes(count: int) -> dict[str, bytes]:
    return {f"notes/{n:06d}.txt": f"第{n}段：天气晴，城市道路。\n".encode() for n in range(count)}


@contextmanager
def statements(gate: Gate) -> Iterator[Counter[str]]:
    """Counts what is asked of the databases of state and ledger."""
    seen: Counter[str] = Counter()

    def see(_connection, _cursor, statement, _parameters, _context, _many):  # type: ignore[no-untyped-def]
        seen[statement.split(" ", 1)[0]] += 1

    engines = (gate.database.engine, gate.ledger.engine)
    for engine in engines:
        sa.event.listen(engine, "before_cursor_execute", see)
    try:
        yield seen
    finally:
        for engine in engines:
            sa.event.remove(engine, "before_cursor_execute", see)


def calls_of(act: Callable[[], object]) -> int:
    """How many functions this thread calls, those written in C included."""
    count = 0

    def see(_frame: object, kind: str, _argument: object) -> None:
        nonlocal count
        count += kind in ("call", "c_call")

    sys.setprofile(see)
    try:
        act()
    finally:
        sys.setprofile(None)
    return count


def announced(gate: Gate, count: int) -> str:
    delivery = Delivery(manifest=manifest_of(notes(count)), source="vehicle", manifest_signed=True)
    return announce(gate, delivery, actor=vehicle_actor())


def receive(gate: Gate, recording: str, position: int) -> None:
    content = f"第{position}段：天气晴，城市道路。\n".encode()
    receive_item(gate, recording, position, [content], actor=vehicle_actor())


def read(gate: Gate, house: House, release: str, name: str) -> bytes:
    engineer = house.people["engineer"].actor
    reading = read_item(gate, release, name, actor=engineer, purpose=PURPOSE, wanted=None)
    try:
        return b"".join(reading.chunks)
    finally:
        reading.settle()


def names_of(gate: Gate, release: str) -> list[str]:
    with gate.database.read() as session:
        return list(offer.load_offered(gate, session, release).offer.files)


def test_receiving_costs_the_same_in_a_recording_of_four_and_of_four_hundred(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
):
    parsed: list[int] = []
    monkeypatch.setattr(intake, "parse_manifest", _counting(intake.parse_manifest, parsed))
    costs = {}
    for count in (LITTLE, MUCH):
        recording = announced(gate, count)
        receive(gate, recording, 0)  # the first one opens the manifest
        costs[count] = calls_of(lambda to=recording: [receive(gate, to, n) for n in (1, 2)])
    assert costs[MUCH] <= costs[LITTLE] * 1.1
    assert len(parsed) == 2


def _counting(function: Callable[..., object], seen: list[int]) -> Callable[..., object]:
    def counted(*given: object, **named: object) -> object:
        seen.append(1)
        return function(*given, **named)

    return counted


def test_every_stage_asks_the_databases_in_proportion_to_the_items(gate: Gate, house: House):
    asked = {}
    for count in (2, 4, 8):
        with statements(gate) as delivered:
            recording = cleanse(gate, notes(count))
        with statements(gate) as released:
            made = candidate(gate, house, recording)
            publish(gate, house, made)
        grant(gate, house, made)
        with statements(gate) as served:
            for name in names_of(gate, made):
                read(gate, house, made, name)
        asked[count] = [each.total() for each in (delivered, released, served)]
    for small, middle, large in zip(asked[2], asked[4], asked[8], strict=True):
        # Of what grows faster than the items, the second step would show more than twice the first.
        assert large - middle <= 2 * (middle - small) * 1.05
        assert middle > small


@pytest.fixture(scope="module")
def out(gate: Gate, house: House) -> str:
    """A granted release of a few notes, read once."""
    return offered(gate, house)


def offered(gate: Gate, house: House) -> str:
    made = candidate(gate, house, cleanse(gate, notes(3)))
    publish(gate, house, made)
    grant(gate, house, made)
    for name in names_of(gate, made):
        assert read(gate, house, made, name)
    return made


def test_a_manifest_is_verified_once_for_all_reads(
    gate: Gate, house: House, out: str, monkeypatch: pytest.MonkeyPatch
):
    verified: list[int] = []
    monkeypatch.setattr(offer, "load_released", _counting(offer.load_released, verified))
    for name in names_of(gate, out) * 2:
        read(gate, house, out, name)
    assert not verified
    fresh = replace(gate)  # another process knows nothing
    read(fresh, house, out, names_of(gate, out)[0])
    assert len(verified) == 1


@contextmanager
def changed(gate: Gate, release: str, **columns: object) -> Iterator[None]:
    """Another value in the database for as long as the block lasts, as somebody with access to it may set it."""
    before = {}
    with gate.database.transaction() as session:
        row = session.get_one(ReleaseRow, release)
        for column, value in columns.items():
            before[column] = getattr(row, column)
            setattr(row, column, value)
    yield
    with gate.database.transaction() as session:
        row = session.get_one(ReleaseRow, release)
        for column, value in before.items():
            setattr(row, column, value)


def test_an_altered_manifest_is_refused_at_the_next_read(gate: Gate, house: House, out: str):
    name = names_of(gate, out)[0]
    with gate.database.read() as session:
        statement = str(session.get_one(ReleaseRow, out).manifest_jws)
    head, payload, signature = statement.split(".")
    document = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    document["expires_at"] = "2090-01-01T00:00:00.000000Z"
    altered = urlsafe_b64encode(json.dumps(document, separators=(",", ":")).encode()).decode().rstrip("=")
    with (
        changed(gate, out, manifest_jws=f"{head}.{altered}.{signature}"),
        pytest.raises(EvidenceError, match="does not verify"),
    ):
        read(gate, house, out, name)
    assert read(gate, house, out, name)


def test_another_digest_on_record_is_refused_at_the_next_read(gate: Gate, house: House, out: str):
    name = names_of(gate, out)[0]
    with changed(gate, out, digest="0" * 64), pytest.raises(EvidenceError, match="another release or digest"):
        read(gate, house, out, name)


def test_the_manifest_of_another_release_and_a_revoked_release_are_refused_at_the_next_read(
    gate: Gate, house: House, out: str
):
    name, other = names_of(gate, out)[0], offered(gate, house)
    with gate.database.read() as session:
        manifest = session.get_one(ReleaseRow, other).manifest_jws
    with (
        changed(gate, out, manifest_jws=manifest),
        pytest.raises(EvidenceError, match="another release or digest"),
    ):
        read(gate, house, out, name)
    assert read(gate, house, out, name)
    others = names_of(gate, other)[0]
    revoke_release(gate, other, actor=house.people["officer"].actor)
    with pytest.raises(DeniedError):
        read(gate, house, other, others)
    # The ledger tells of it, whatever the database says.
    with changed(gate, other, state=ReleaseState.RELEASED), pytest.raises((EvidenceError, DeniedError)):
        read(gate, house, other, others)


def test_a_revoked_and_an_expired_grant_are_refused_at_the_next_read(gate: Gate, house: House, out: str):
    name = names_of(gate, out)[0]
    held = gate.offers
    later = replace(gate, clock=lambda: gate.clock() + timedelta(days=8))
    object.__setattr__(later, "offers", held)
    with pytest.raises(DeniedError):
        read(later, house, out, name)
    assert read(gate, house, out, name)
    ended = grant(gate, house, out, person="stranger")
    stranger = house.people["stranger"].actor
    read_item(gate, out, name, actor=stranger, purpose=PURPOSE, wanted=None).settle()
    revoke_grant(gate, ended, actor=house.people["officer"].actor)
    with pytest.raises((DeniedError, NoGrantError)):
        read_item(gate, out, name, actor=stranger, purpose=PURPOSE, wanted=None)


def test_another_release_key_is_refused_at_the_next_read(
    gate: Gate, house: House, out: str, monkeypatch: pytest.MonkeyPatch
):
    name = names_of(gate, out)[0]
    other = gate.keystore.signing_key("another")
    monkeypatch.setattr(gate.keystore, "verifying_key", lambda _name, _algorithm: other)
    with pytest.raises(EvidenceError, match="does not verify"):
        read(gate, house, out, name)


def test_the_manifest_of_a_recording_is_opened_anew_when_anything_of_it_differs(gate: Gate):
    recording = announced(gate, LITTLE)

    def load() -> object:
        with gate.database.read() as session:
            return load_manifest(gate, session, recording)

    assert load() is load()
    with gate.database.transaction() as session:
        row = session.get_one(RecordingRow, recording)
        sealed, digest, row.manifest_digest = row.manifest_sealed, row.manifest_digest, "0" * 64
    with pytest.raises(EvidenceError, match="not the one announced"):
        load()
    with gate.database.transaction() as session:
        session.get_one(RecordingRow, recording).manifest_digest = digest
    assert load() is load()
    gate.keystore.destroy_kek(f"rec-{recording}")
    with pytest.raises(KeyDestroyedError):
        load()
    assert gate.announced.find(recording, sealed) is None


def test_only_so_many_bytes_are_kept_and_the_least_used_go_first():
    kept: VerifiedOnce[int] = VerifiedOnce(max_source_bytes=10)
    kept.keep("a", b"aaaa", 1)
    kept.keep("b", b"bbbb", 2)
    assert kept.find("a", b"aaaa") == 1
    kept.keep("c", b"cccc", 3)
    assert (kept.find("a", b"aaaa"), kept.find("b", b"bbbb"), kept.find("c", b"cccc")) == (1, None, 3)
    assert kept.find("c", b"cccd") is None
    kept.keep("c", b"c" * 11, 4)  # longer than all that is kept
    assert kept.find("c", b"c" * 11) is None
    assert len(kept) == 1
