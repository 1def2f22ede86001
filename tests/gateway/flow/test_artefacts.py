"""What engineers derive from releases: registered under live grants, listed with descendants, and revoked."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from audit.events import EventType, Outcome
from audit.query import EntryFilter, find_all
from gateway.errors import DeniedError, EvidenceError, InvalidRequestError, NotFoundError
from gateway.flow.artefacts import seal_artefact
from gateway.flow.gate import Gate
from gateway.flow.lineage import release_lineage
from gateway.flow.records import ArtefactRow, GrantRow
from gateway.flow.register import read_artefact, register_artefact
from gateway.flow.release import load_released, revoke_grant, revoke_release
from gateway.flow.serve import NoGrantError, read_item, read_manifest
from gateway.models.statements import digest_of
from gateway.vault.jws import generate_person_key
from pipeline.artefacts import ArtefactKind, DerivedArtefact
from simulators import PURPOSE, RECIPIENT, House, grant, released

DIGEST = "ab" * 32


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    return House(home=tmp_path_factory.mktemp("artefacts") / "home")


@pytest.fixture(scope="module")
def gate(house: House) -> Iterator[Gate]:
    with house.opened() as gate:
        house.furnish(gate)
        yield gate


@pytest.fixture
def out(gate: Gate, house: House) -> str:
    return released(gate, house, {"notes.txt": f"第{gate.ledger.size}次采集，城市道路。\n".encode()})


def statement(gate: Gate, house: House, person: str = "engineer", **what: object) -> str:
    made = {
        "kind": ArtefactKind.INDEX,
        "name": "first index",
        "sha256": DIGEST,
        "code": "git:1234567",
        **what,
    }
    purpose = str(made.pop("purpose", PURPOSE))
    key = made.pop("key", house.people[person].key)
    said = str(made.pop("principal", person))
    return DerivedArtefact(**made).statement(  # type: ignore[arg-type]
        principal=said,
        purpose=purpose,
        key=key,
        at=gate.clock(),  # type: ignore[arg-type]
    )


def register(gate: Gate, house: House, person: str = "engineer", **what: object) -> str:
    text = statement(gate, house, person, **what)
    done = register_artefact(gate, text, actor=house.people[person].actor, purpose=PURPOSE)
    return str(done["artefact"])


def listed(gate: Gate, house: House, release_id: str) -> list[str]:
    found = release_lineage(gate, release_id, actor=house.people["auditor"].actor)
    return [each["artefact"] for each in found["artefacts"]]


def outcomes(gate: Gate, object_id: str, kind: EventType) -> list[Outcome]:
    with gate.ledger.snapshot() as snapshot:
        return [e.event.outcome for e in find_all(snapshot, EntryFilter(object=object_id, types=(kind,)))]


def items_of(gate: Gate, release_id: str) -> list[dict[str, object]]:
    with gate.database.read() as session:
        return list(load_released(gate, session, release_id).manifest["items"])


def test_descendants_are_listed_nearest_first_and_told_as_prov(gate: Gate, house: House, out: str):
    index = register(gate, house, releases=(out,), items=(items_of(gate, out)[0]["sha256"],))
    labels = register(gate, house, kind=ArtefactKind.LABEL_SET, name="标注", artefacts=(index,))
    model = register(
        gate, house, kind=ArtefactKind.MODEL, name="m", artefacts=(labels,), releases=(out,),
        parameters={"epochs": 3, "rate": 0.1},
    )  # fmt: skip
    scenario = register(gate, house, kind=ArtefactKind.SCENARIO, name="s", artefacts=(model, labels))
    assert register(gate, house, releases=(out,), name="other") in listed(gate, house, out)
    order = listed(gate, house, out)
    assert {index, labels, model, scenario} <= set(order)
    assert len(order) == len(set(order)) == 5
    nearest = {index, model, *(set(order) - {index, labels, model, scenario})}
    assert set(order[:3]) == nearest
    found = release_lineage(gate, out, actor=house.people["auditor"].actor)
    told = next(each for each in found["artefacts"] if each["artefact"] == model)
    assert told["generated_by"] == {"code": "git:1234567", "parameters": {"epochs": 3, "rate": 0.1}}
    assert (told["attributed_to"], told["attested"], told["revoked"]) == ("engineer", True, False)
    derived = {
        (link["prov:generatedEntity"], link["prov:usedEntity"])
        for link in found["prov"]["wasDerivedFrom"].values()
    }
    assert (f"fg:artefact:{model}", f"fg:release:{out}") in derived
    assert (f"fg:artefact:{scenario}", f"fg:artefact:{labels}") in derived


def test_the_same_statement_again_changes_nothing(gate: Gate, house: House, out: str):
    text = statement(gate, house, releases=(out,))
    actor = house.people["engineer"].actor
    twice = [register_artefact(gate, text, actor=actor, purpose=PURPOSE) for _ in range(2)]
    assert twice[0] == twice[1]
    assert listed(gate, house, out) == [twice[0]["artefact"]]


WRONG = {
    "another's signature": {"key": generate_person_key()},
    "another's name": {"principal": "stranger"},
    "another purpose": {"purpose": "marketing"},
    "no name": {"name": " "},
    "no code": {"code": ""},
    "no digest": {"sha256": "abc"},
    "no source": {"releases": ()},
    "an unknown parent": {"artefacts": ("cd" * 32,)},
    "an item of another release": {"items": ("cd" * 32,)},
}


@pytest.mark.parametrize("what", WRONG)
def test_a_statement_that_says_something_else_is_refused(gate: Gate, house: House, what: str):
    with gate.database.read() as session:
        release_id = session.scalar(sa.select(GrantRow.release_id).where(GrantRow.revoked_at.is_(None)))
    before = len(listed(gate, house, str(release_id)))
    text = statement(gate, house, **{"releases": (release_id,), **WRONG[what]})
    with pytest.raises(InvalidRequestError):
        register_artefact(gate, text, actor=house.people["engineer"].actor, purpose=PURPOSE)
    assert len(listed(gate, house, str(release_id))) == before
    last = gate.ledger.entry(gate.ledger.size - 3).event, gate.ledger.entry(gate.ledger.size - 4).event
    assert Outcome.REFUSED in {event.outcome for event in last}


def test_without_a_live_grant_on_all_that_it_rests_on_nothing_is_registered(
    gate: Gate, house: House, out: str
):
    with pytest.raises(NoGrantError):
        register(gate, house, "stranger", releases=(out,))
    index = register(gate, house, releases=(out,))
    with pytest.raises(NoGrantError):
        register(gate, house, "stranger", artefacts=(index,))
    second = grant(gate, house, out, "stranger")
    child = register(gate, house, "stranger", artefacts=(index,))
    revoke_grant(gate, second, actor=house.people["first"].actor)
    with pytest.raises(DeniedError):
        register(gate, house, "stranger", artefacts=(child,))
    later = replace(gate, clock=lambda: gate.clock() + timedelta(days=20))
    with pytest.raises((DeniedError, InvalidRequestError)):
        register(later, house, releases=(out,))


def test_a_revocation_says_who_received_what_and_reaches_all_that_rests_on_the_release(
    gate: Gate, house: House, out: str
):
    engineer, first = house.people["engineer"].actor, house.people["first"].actor
    other = released(gate, house, {"notes.txt": "另一次采集，没有共同文件。\n".encode()})
    item = items_of(gate, out)[0]
    read_manifest(gate, out, actor=engineer, purpose=PURPOSE)
    reading = read_item(gate, out, str(item["name"]), actor=engineer, purpose=PURPOSE, wanted=None)
    content = b"".join(reading.chunks)
    broken = read_item(gate, out, str(item["name"]), actor=engineer, purpose=PURPOSE, wanted=None)
    broken.settle()
    index = register(gate, house, releases=(out,))
    mixed = register(
        gate, house, kind=ArtefactKind.MODEL, artefacts=(index,), releases=(other,), name="mixed"
    )
    apart = register(gate, house, releases=(other,), name="apart")
    assert read_artefact(gate, mixed, actor=engineer, purpose=PURPOSE)["revoked"] is False
    done = revoke_release(gate, out, actor=first).document()
    assert {each["artefact"] for each in done["artefacts"]} == {index, mixed}
    assert all(each["revoked"] for each in done["artefacts"])
    (row,) = done["received"]
    assert (row["principal"], row["recipient"], row["manifest_reads"]) == ("engineer", RECIPIENT, 1)
    assert row["bytes"] == len(content) == item["size"]
    (told,) = row["items"]
    assert (told["name"], told["reads"], told["broken_off"]) == (item["name"], 1, 1)
    assert row["grants"][0]["issued_by"] == "first"
    assert done["grants_ended"] == 1
    assert set(done["not_undone"]) == {"zh", "en"}
    for artefact in (index, mixed):
        assert Outcome.COMPLETED in outcomes(gate, artefact, EventType.ARTEFACT_ARTEFACT_REVOKE)
    standing = read_artefact(gate, mixed, actor=engineer, purpose=PURPOSE)
    assert (standing["revoked"], standing["revoked_releases"]) == (True, [out])
    assert read_artefact(gate, apart, actor=engineer, purpose=PURPOSE)["revoked"] is False
    with pytest.raises(InvalidRequestError, match="revoked"):
        register(gate, house, artefacts=(mixed,), releases=(other,))
    with pytest.raises(DeniedError):
        register(gate, house, releases=(out,), name="too late")
    again = revoke_release(gate, out, actor=first).document()
    assert again["grants_ended"] == 0
    assert (again["artefacts"], again["received"]) == (done["artefacts"], done["received"])
    assert again["revoked_at"] == done["revoked_at"]


def test_rows_that_do_not_say_what_was_signed_and_attested_are_errors(gate: Gate, house: House, out: str):
    """Law 6: neither a changed row nor a deleted one shortens the list."""
    first = register(gate, house, releases=(out,))
    second = register(gate, house, artefacts=(first,), name="second")
    auditor = house.people["auditor"].actor
    with gate.database.transaction() as session:
        row = session.get_one(ArtefactRow, second)
        row.principal = "stranger"
    with pytest.raises(EvidenceError, match="does not verify"):
        release_lineage(gate, out, actor=auditor)
    with gate.database.transaction() as session:
        row = session.get_one(ArtefactRow, second)
        row.principal = "engineer"
        row.sealed, kept = session.get_one(ArtefactRow, first).sealed, row.sealed
    with pytest.raises(EvidenceError, match="does not open"):
        release_lineage(gate, out, actor=auditor)
    with gate.database.transaction() as session:
        session.delete(session.get_one(ArtefactRow, second))
    with pytest.raises(EvidenceError, match="missing"):
        release_lineage(gate, out, actor=auditor)
    row = ArtefactRow(
        id=second, principal="engineer", sealed=kept, registered_at=gate.clock(), revoked_at=None
    )
    with gate.database.transaction() as session:
        session.add(row)
    assert listed(gate, house, out) == [first, second]


def test_a_registration_that_the_ledger_does_not_attest_is_listed_as_such(gate: Gate, house: House, out: str):
    """A crash between row and completion hides nothing, and registering again completes it."""
    text = statement(gate, house, releases=(out,))
    artefact = digest_of(text)
    row = ArtefactRow(
        id=artefact,
        principal="engineer",
        sealed=seal_artefact(gate, text),
        registered_at=gate.clock(),
        revoked_at=None,
    )
    with gate.database.transaction() as session:
        session.add(row)
    auditor, engineer = house.people["auditor"].actor, house.people["engineer"].actor
    assert [e["attested"] for e in release_lineage(gate, out, actor=auditor)["artefacts"]] == [False]
    register_artefact(gate, text, actor=engineer, purpose=PURPOSE)
    assert [e["attested"] for e in release_lineage(gate, out, actor=auditor)["artefacts"]] == [True]


def test_unknown_ids_are_told(gate: Gate, house: House):
    with pytest.raises(NotFoundError):
        release_lineage(gate, "0" * 32, actor=house.people["auditor"].actor)
    with pytest.raises(NotFoundError):
        read_artefact(gate, "0" * 64, actor=house.people["engineer"].actor, purpose=PURPOSE)
