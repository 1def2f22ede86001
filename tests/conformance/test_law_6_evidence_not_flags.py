"""Law 6, evidence, not flags: each stage carries digests of what it rests on, and loading verifies them again."""

import sqlite3
from dataclasses import dataclass
from datetime import timedelta

import pytest
import sqlalchemy as sa

from anonymize.errors import AnonymizeError
from audit.errors import LedgerError
from audit.errors import VerificationError as LedgerVerificationError
from conformance.conftest import Commons
from conformance.drives import CAPTURED, trip
from conformance.evidence_of_state import altered
from gateway.errors import GatewayError, StageOrderError
from gateway.flow import evidence
from gateway.flow.build import build_release, load_built
from gateway.flow.classify import load_classified
from gateway.flow.cleanse import load_cleansed
from gateway.flow.gate import Gate
from gateway.flow.intake import load_manifest, load_quarantined
from gateway.flow.judge import judge_release, load_judged
from gateway.flow.recording import ItemState, RecordingState, ReleaseMode, ReleaseState, Stage
from gateway.flow.records import (
    EvidenceRow,
    GrantRow,
    ItemRow,
    RecordingRow,
    ReleaseItemRow,
    ReleaseRecordingRow,
    ReleaseRow,
)
from gateway.flow.release import load_approved, revoke_grant, revoke_release
from gateway.flow.request import ReleaseRequest, request_release
from gateway.flow.serve import read_item, read_manifest
from gateway.vault.errors import VaultError
from gateway.workers import advance
from simulators import PURPOSE, RECIPIENT, House, candidate, deliver, grant, publish

REFUSED = (GatewayError, VaultError, LedgerError, LedgerVerificationError, AnonymizeError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """One released recording and where each of its stages is kept."""

    commons: Commons
    release: str
    recording: str
    items: tuple[str, ...]

    @property
    def gate(self) -> Gate:
        return self.commons.gate

    def row(self, row, **where: object):
        with self.gate.database.read() as session:
            return session.scalars(sa.select(row).filter_by(**where)).first()

    def load(self, what: str) -> object:
        with self.gate.database.read() as session:
            match what:
                case Stage.RECEIVED:
                    return load_quarantined(self.gate, session, self.items[0])
                case Stage.CLASSIFIED:
                    return load_classified(self.gate, session, self.items[0])
                case Stage.CLEANSED:
                    return load_cleansed(self.gate, session, self.items[0])
                case Stage.BUILT:
                    return load_built(self.gate, session, self.release)
                case Stage.JUDGED:
                    return load_judged(self.gate, session, self.release)
        raise AssertionError(what)

    def read(self) -> bytes:
        return self.read_as("engineer")

    def read_as(self, person: str) -> bytes:
        reader = self.commons.actor(person)
        got = read_manifest(self.gate, self.release, actor=reader, purpose=PURPOSE).encode()
        name = self.row(ReleaseItemRow, release_id=self.release).name
        reading = read_item(self.gate, self.release, name, actor=reader, purpose=PURPOSE, wanted=None)
        return got + b"".join(reading.chunks)


@pytest.fixture(scope="module")
def life(commons: Commons) -> Life:
    release = commons.released()
    with commons.gate.database.read() as session:
        recording = session.scalar(
            sa.select(ReleaseRecordingRow.recording_id).where(ReleaseRecordingRow.release_id == release)
        )
        items = session.scalars(
            sa.select(ItemRow.id).where(ItemRow.recording_id == recording).order_by(ItemRow.position)
        ).all()
    return Life(commons=commons, release=release, recording=recording, items=tuple(items))


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


STAGES = (Stage.RECEIVED, Stage.CLASSIFIED, Stage.CLEANSED, Stage.BUILT, Stage.JUDGED)


@pytest.mark.parametrize("stage", STAGES)
def test_one_flipped_byte_of_sealed_evidence_stops_loading(life: Life, stage: Stage):
    owner = life.items[0] if stage in STAGES[:3] else life.release
    row = life.row(EvidenceRow, owner_id=owner, stage=stage.value)
    assert life.load(stage)
    for at in (0, len(row.sealed) // 2, len(row.sealed) - 1):
        with (
            altered(life.gate, "evidence", "sealed", flipped(row.sealed, at), id=row.id),
            pytest.raises(REFUSED),
        ):
            life.load(stage)
    assert life.load(stage)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("column", ["digest", "previous", "ledger_index"])
def test_another_digest_or_ledger_entry_beside_the_evidence_stops_loading(
    life: Life, stage: Stage, column: str
):
    owner = life.items[0] if stage in STAGES[:3] else life.release
    row = life.row(EvidenceRow, owner_id=owner, stage=stage.value)
    other = row.ledger_index - 1 if column == "ledger_index" else "f" * 64
    with altered(life.gate, "evidence", column, other, id=row.id), pytest.raises(REFUSED):
        life.load(stage)


def test_evidence_of_another_item_does_not_pass(life: Life):
    mine, other = (
        life.row(EvidenceRow, owner_id=item, stage=Stage.CLEANSED.value) for item in life.items[:2]
    )
    with (
        altered(life.gate, "evidence", "sealed", other.sealed, id=mine.id),
        altered(life.gate, "evidence", "digest", other.digest, id=mine.id),
        altered(life.gate, "evidence", "ledger_index", other.ledger_index, id=mine.id),
        pytest.raises(REFUSED),
    ):
        life.load(Stage.CLEANSED)


@pytest.mark.parametrize("column", ["original_seal", "treated_seal"])
def test_swapped_sealed_files_do_not_pass(life: Life, column: str):
    first, second = (life.row(ItemRow, id=item) for item in life.items[:2])
    stage = Stage.RECEIVED if column == "original_seal" else Stage.CLEANSED
    with (
        altered(life.gate, "item", column, getattr(second, column), id=first.id),
        altered(life.gate, "item", column, getattr(first, column), id=second.id),
        pytest.raises(REFUSED),
    ):
        life.load(stage)


def test_swapped_released_files_give_no_byte(life: Life):
    with life.gate.database.read() as session:
        rows = session.scalars(sa.select(ReleaseItemRow).filter_by(release_id=life.release)).all()
    assert len(rows) == 2
    with (
        altered(life.gate, "release_item", "seal", rows[1].seal, id=rows[0].id),
        altered(life.gate, "release_item", "seal", rows[0].seal, id=rows[1].id),
    ):
        with pytest.raises(REFUSED):
            life.read()
        with pytest.raises(REFUSED):
            life.load(Stage.BUILT)


TERMS = {
    "purpose": "marketing",
    "mode": "OFFSET",
    "destination_zone": "public",
    "map_number": "GS(2026)0001",
    "dpia_reference": "DPIA-1",
    "profile_digest": "f" * 64,
    "profile_name": "gdpr",
}


@pytest.mark.parametrize("column", TERMS)
def test_a_changed_term_of_a_release_stops_loading(life: Life, column: str):
    with altered(life.gate, "release", column, TERMS[column], id=life.release), pytest.raises(REFUSED):
        life.load(Stage.BUILT)


def test_a_later_expiry_by_sql_stops_loading_and_does_not_prolong_reading(life: Life):
    row = life.row(ReleaseRow, id=life.release)
    later = row.expires_at + timedelta(days=300)
    with altered(life.gate, "release", "expires_at", later, id=life.release), pytest.raises(REFUSED):
        life.load(Stage.BUILT)


def test_another_digest_in_the_release_row_stops_reading(life: Life):
    with altered(life.gate, "release", "digest", "0" * 64, id=life.release), pytest.raises(REFUSED):
        life.read()


def test_a_manifest_of_another_release_stops_reading(life: Life):
    other = life.commons.released()
    statement = life.row(ReleaseRow, id=other)
    with (
        altered(life.gate, "release", "manifest_jws", statement.manifest_jws, id=life.release),
        pytest.raises(REFUSED),
    ):
        life.read()
    with (
        altered(life.gate, "release", "manifest_jws", statement.manifest_jws, id=life.release),
        altered(life.gate, "release", "digest", statement.digest, id=life.release),
        pytest.raises(REFUSED),
    ):
        life.read()


def test_a_manifest_that_was_not_announced_stops_loading(life: Life):
    other = life.commons.cleansed()
    row = life.row(RecordingRow, id=other)
    with (
        altered(life.gate, "recording", "manifest_sealed", row.manifest_sealed, id=life.recording),
        life.gate.database.read() as session,
        pytest.raises(REFUSED),
    ):
        load_manifest(life.gate, session, life.recording)


@pytest.mark.parametrize("state", [ItemState.CLASSIFIED, ItemState.CLEANSED])
def test_an_item_that_is_only_said_to_have_passed_a_stage_gives_nothing(life: Life, state: ItemState):
    """State columns set by SQL: every item of a recording, and the recording itself, 'cleansed'."""
    gate, commons = life.gate, life.commons
    recording = deliver(gate, trip(900 + list(ItemState).index(state)), captured=CAPTURED)
    with gate.database.transaction() as session:
        session.execute(sa.update(ItemRow).where(ItemRow.recording_id == recording).values(state=state))
        session.execute(
            sa.update(RecordingRow).where(RecordingRow.id == recording).values(state=RecordingState.CLEANSED)
        )
    if state is ItemState.CLASSIFIED:
        with pytest.raises(StageOrderError):
            advance(gate, recording)
        assert life.row(ItemRow, recording_id=recording).treated_seal is None
        return
    request = ReleaseRequest(
        recordings=[recording],
        purpose=PURPOSE,
        recipient=RECIPIENT,
        mode=ReleaseMode.LOCAL,
        expires_at=gate.clock() + timedelta(days=1),
    )
    made = request_release(gate, request, actor=commons.actor("submitter"))
    with pytest.raises(REFUSED):
        build_release(gate, made)
    with gate.database.read() as session:
        assert not session.scalars(sa.select(ReleaseItemRow).filter_by(release_id=made)).all()


@pytest.mark.parametrize("state", [ReleaseState.BUILT, ReleaseState.JUDGED, ReleaseState.APPROVED])
def test_a_release_that_is_only_said_to_have_passed_a_stage_goes_no_further(life: Life, state: ReleaseState):
    gate, commons = life.gate, life.commons
    request = ReleaseRequest(
        recordings=[commons.cleansed()],
        purpose=PURPOSE,
        recipient=RECIPIENT,
        mode=ReleaseMode.LOCAL,
        expires_at=gate.clock() + timedelta(days=1),
    )
    made = request_release(gate, request, actor=commons.actor("submitter"))
    first = commons.actor("first")
    built = state is ReleaseState.BUILT
    with altered(gate, "release", "state", state.value, id=made), pytest.raises(REFUSED):
        judge_release(gate, made) if built else load_approved(gate, made, actor=first)


def test_a_candidate_set_to_released_by_sql_gives_nothing(life: Life):
    candidate = life.commons.judged()
    with altered(life.gate, "release", "state", ReleaseState.RELEASED.value, id=candidate):
        grant(life.gate, life.commons.house, candidate)
        stolen = Life(commons=life.commons, release=candidate, recording=life.recording, items=life.items)
        with pytest.raises(REFUSED):
            stolen.read()


def test_a_grant_that_the_ledger_does_not_attest_gives_nothing(life: Life):
    now = life.gate.clock()
    with life.gate.database.transaction() as session:
        session.add(
            GrantRow(
                id=f"forged-{life.release[:12]}",
                release_id=life.release,
                principal="stranger",
                purpose=PURPOSE,
                issued_by="first",
                not_before=now - timedelta(days=1),
                not_after=now + timedelta(days=1),
            )
        )
    with pytest.raises(REFUSED):
        life.read_as("stranger")


@pytest.mark.parametrize("column", ["not_after", "principal", "purpose"])
def test_a_grant_that_was_changed_by_sql_gives_nothing(life: Life, column: str):
    row = life.row(GrantRow, release_id=life.release, principal="engineer")
    other = {
        "not_after": row.not_after + timedelta(days=300),
        "principal": "stranger",
        "purpose": "marketing",
    }
    with altered(life.gate, "grant", column, other[column], id=row.id), pytest.raises(REFUSED):
        life.read_as("stranger" if column == "principal" else "engineer")


@pytest.mark.parametrize("what", ["grant", "release"])
def test_a_revocation_undone_by_sql_stays_a_revocation(life: Life, what: str):
    release = life.commons.released()
    other = Life(commons=life.commons, release=release, recording=life.recording, items=life.items)
    assert other.read()
    row = life.row(GrantRow, release_id=release)
    if what == "grant":
        revoke_grant(life.gate, row.id, actor=life.commons.actor("first"))
    else:
        revoke_release(life.gate, release, actor=life.commons.actor("first"))
    with life.gate.database.transaction() as session:
        session.execute(sa.update(GrantRow).where(GrantRow.id == row.id).values(revoked_at=None))
        session.execute(
            sa.update(ReleaseRow)
            .where(ReleaseRow.id == release)
            .values(state=ReleaseState.RELEASED, revoked_at=None)
        )
    with pytest.raises(REFUSED):
        other.read()


def test_an_attestation_that_the_ledger_does_not_know_lets_nothing_through(life: Life):
    """An item of unknown position is held unless an officer attested it; a column is no attestation."""
    gate = life.gate
    recording = deliver(gate, {"lidar/000000.bin": trip(950)["lidar/000000.bin"]}, captured={})
    with gate.database.transaction() as session:
        session.execute(
            sa.update(RecordingRow).where(RecordingRow.id == recording).values(zone_attestation="0" * 64)
        )
    with pytest.raises(REFUSED):
        advance(gate, recording)
    assert life.row(ItemRow, recording_id=recording).treated_seal is None


def test_another_region_by_sql_does_not_change_what_the_certificate_is_held_against(life: Life):
    """The certificate covers region 11; the signed manifest says where the drive was."""
    commons = life.commons
    recording = commons.cleansed()
    with altered(life.gate, "recording", "region", "310101", id=recording):
        made = candidate(life.gate, commons.house, recording)
        publish(life.gate, commons.house, made)


def test_another_crs_by_sql_does_not_move_a_track(life: Life):
    """A shifted track would be tested against the zones in the wrong place."""
    gate = life.gate
    recording = deliver(gate, {"drive.csv": trip(951)["drive.csv"]}, captured={})
    with altered(gate, "recording", "crs", "GCJ-02", id=recording):
        advance(gate, recording)
    item = life.row(ItemRow, recording_id=recording)
    with gate.database.read() as session:
        assert load_classified(gate, session, item.id).facts["crs"] == "EPSG:4326"


@pytest.fixture
def broken_ledger(own: Commons) -> tuple[Commons, str]:
    return own, own.cleansed()


def execute(gate: Gate, statement: str, *values: object) -> None:
    connection = sqlite3.connect(gate.settings.home / "ledger.db", timeout=20)
    with connection:
        connection.execute(statement, values)
    connection.close()


@pytest.mark.parametrize("change", ["delete", "alter"])
def test_a_ledger_row_that_is_gone_or_changed_stops_what_rests_on_it(
    broken_ledger: tuple[Commons, str], change: str
):
    commons, recording = broken_ledger
    gate = commons.gate
    with gate.database.read() as session:
        item = session.scalars(sa.select(ItemRow).where(ItemRow.recording_id == recording)).first()
        assert load_cleansed(gate, session, item.id)
        index = session.scalar(
            sa.select(EvidenceRow.ledger_index).filter_by(owner_id=item.id, stage=Stage.CLASSIFIED.value)
        )
    if change == "delete":
        execute(gate, "DELETE FROM ledger_entry WHERE entry_index = ?", index)
    else:
        execute(
            gate,
            "UPDATE ledger_entry SET leaf = CAST(replace(leaf, 'gate', 'fake') AS BLOB) WHERE entry_index = ?",
            index,
        )
    with gate.database.read() as session, pytest.raises((*REFUSED, IndexError)):
        load_cleansed(gate, session, item.id)
    with pytest.raises((LedgerError, LedgerVerificationError)):
        gate.ledger.verify()
    request = ReleaseRequest(
        recordings=[recording],
        purpose=PURPOSE,
        recipient=RECIPIENT,
        mode=ReleaseMode.LOCAL,
        expires_at=gate.clock() + timedelta(days=1),
    )
    made = request_release(gate, request, actor=commons.actor("submitter"))
    with pytest.raises((*REFUSED, IndexError)):
        build_release(gate, made)


def test_a_changed_ledger_stops_the_next_start(broken_ledger: tuple[Commons, str]):
    commons, _recording = broken_ledger
    house: House = commons.house
    execute(commons.gate, "UPDATE ledger_entry SET actor = 'somebody' WHERE entry_index = 3")
    with pytest.raises(LedgerError), house.opened():
        raise AssertionError("the gate opened over a changed ledger")


def test_stages_cannot_be_loaded_out_of_order(life: Life):
    with life.gate.database.read() as session, pytest.raises(GatewayError) as error:
        evidence.load(life.gate, session, owner="f" * 32, stage=Stage.CLEANSED, previous=None)
    assert error.value.reason == "stage_order"
