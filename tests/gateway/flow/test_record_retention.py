"""Rule 29: records of provision and ledger detail outlive every attempt to destroy them before their term."""

import ast
import dataclasses
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from audit.events import Event, EventType, Outcome
from audit.export import export_ledger
from audit.verify import BadExportError
from audit.verify_destruction import verify_destruction
from gateway.app import release_public_jwk
from gateway.destruction import DESTRUCTION_TYPE, certify_record_key
from gateway.errors import ActDeniedError, DeniedError, InvalidRequestError, RetainedError
from gateway.flow.acts import rule_facts, rules_of
from gateway.flow.build import build_release
from gateway.flow.erase import erase_recording
from gateway.flow.gate import Gate
from gateway.flow.judge import judge_release
from gateway.flow.law import term_of_record
from gateway.flow.recording import ReleaseMode
from gateway.flow.records import ReleaseRow
from gateway.flow.request import ReleaseRequest, request_release, terms_of
from gateway.flow.retention import (
    PARAMETERS,
    PREFIXES,
    Kind,
    Record,
    RecordKind,
    Seals,
    _names_secrets,
    destroy_key,
    destroy_question,
    destroy_record_key,
    terms,
)
from gateway.vault.errors import KeyDestroyedError, KeyUnavailableError
from gateway.vault.jws import sign_statement
from policies.question import Question
from simulators import PURPOSE, RECIPIENT, House, candidate, cleanse, csv_track

ROOT = Path(__file__).parents[3]


def at(gate: Gate, moment: datetime) -> Gate:
    """The gate at another time, with its policy still in force: nothing is destroyed under one that is over."""
    renewed = dataclasses.replace(gate.bundle, not_after=moment + timedelta(days=1))
    return dataclasses.replace(gate, clock=lambda: moment, bundle=renewed)


def test_policy_that_is_over_lets_nothing_go(kept: "Kept"):
    """Rule 1: a term that ended is no permission without a policy in force."""
    gate, officer = kept.gate, kept.house.people["officer"].actor
    late = dataclasses.replace(gate, clock=lambda: gate.clock() + timedelta(days=4000))
    with pytest.raises(DeniedError, match="policy_in_force"):
        destroy_key(late, f"rel-{kept.made}", actor=officer)
    last = gate.ledger.entry(gate.ledger.size - 1).event
    assert (last.type, last.facts["reason"]) == (EventType.VAULT_KEY_DESTROY, "denied")
    gate.keystore.wrap_dek(f"rel-{kept.made}", bytes(32), b"context")


def refusal(gate: Gate, kek_id: str, house: House) -> RetainedError:
    """The error; the attempt is in the ledger and the key still seals."""
    with pytest.raises(RetainedError, match="rule 29") as caught:
        destroy_key(gate, kek_id, actor=house.people["officer"].actor)
    last = gate.ledger.entry(gate.ledger.size - 1).event
    assert (last.type, last.outcome, last.object) == (
        EventType.VAULT_KEY_DESTROY,
        Outcome.REFUSED,
        kek_id,
    )
    assert dict(last.facts) == {"reason": "retained"}
    gate.keystore.wrap_dek(kek_id, bytes(32), b"context")
    return caught.value


def test_only_one_module_destroys_keys():
    """Whatever else asks the keystore goes round the terms."""
    calls = set()
    for file in (ROOT / "gateway").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr == "destroy_kek":
                calls.add(file.relative_to(ROOT).as_posix())
    assert calls == {"gateway/flow/retention.py"}


def test_a_release_is_proved_for_three_years_after_its_end(sqlite_gate: Gate, sqlite_house: House):
    """网络数据条例 12: also after its recording was erased, and not a second less."""
    gate, house = sqlite_gate, sqlite_house
    recording = cleanse(gate, {"drive.csv": csv_track(21)})
    made = candidate(gate, house, recording, days=30)
    with gate.database.read() as session:
        expires = session.get_one(ReleaseRow, made).expires_at
    until = expires.replace(year=expires.year + 3)
    assert refusal(gate, f"rel-{made}", house).allowed_from == until
    erase_recording(gate, recording, actor=house.people["officer"].actor)
    assert gate.keystore.is_destroyed(f"rec-{recording}")
    late = refusal(at(gate, until - timedelta(seconds=1)), f"rel-{made}", house)
    assert (late.rule, late.allowed_from) == ("provision_record_years", until)
    with gate.database.read() as session:
        assert terms_of(session, made).release == made
    destroy_key(at(gate, until), f"rel-{made}", actor=house.people["officer"].actor)
    with pytest.raises(KeyDestroyedError):
        gate.keystore.wrap_dek(f"rel-{made}", bytes(32), b"context")


Case = tuple[EventType, str | None, dict[str, str | int | bool]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A gate, and a candidate for release in it."""

    gate: Gate
    house: House
    made: str


RELEASE, PUBLISH = EventType.JUDGE_RELEASE_DECIDE, EventType.JUDGE_PUBLISH_DECIDE
LONG = ",".join(f"rule_number_{n:02d}" for n in range(20))
SECRET: dict[str, Case] = {
    "the only rule": (RELEASE, "no_state_secret", {"rules": "no_state_secret"}),
    "the second rule": (RELEASE, "absolute_position", {"rules": "absolute_position,no_state_secret"}),
    "a rule of the second token": (
        RELEASE,
        "absolute_position",
        rule_facts(["absolute_position", *LONG.split(","), "no_state_secret"]),
    ),
    "its level": (RELEASE, "absolute_position", {"rules": "absolute_position", "level": "S4_STATE_SECRET"}),
    "a level that nobody knows": (RELEASE, "purpose_registered", {"level": "SX_UNKNOWN"}),
    "publication": (
        PUBLISH,
        "enough_approvers",
        {"rules": "enough_approvers,known_level", "level": "S0_PUBLIC"},
    ),
    "rules that were cut off": (RELEASE, "absolute_position", {"rules": LONG[:200]}),
}
PLAIN: dict[str, Case] = {
    "other rules": (RELEASE, "absolute_position", {"rules": "absolute_position", "level": "S2_PI"}),
    "the source of a publication": (PUBLISH, "enough_approvers", {"level": "S4_STATE_SECRET"}),
    "another act": (EventType.JUDGE_SERVE_DECIDE, "no_state_secret", {"rules": "no_state_secret"}),
}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """One gate with a candidate for release, for every entry below."""
    house = House(home=tmp_path_factory.mktemp("kept") / "home")
    with house.opened() as gate:
        house.furnish(gate)
        made = candidate(gate, house, cleanse(gate, {"drive.csv": csv_track(22)}), days=30)
        yield Kept(gate=gate, house=house, made=made)


def refuse(gate: Gate, named: str, case: Case) -> None:
    kind, rule, facts = case
    gate.ledger.append(
        Event(
            type=kind,
            outcome=Outcome.REFUSED,
            actor="submitter",
            object=named,
            release=named,
            rule=rule,
            facts=facts,
        )
    )


@pytest.mark.parametrize("case", PLAIN.values(), ids=PLAIN.keys())
def test_a_release_refused_for_anything_else_has_its_term(kept: Kept, case: Case):
    named = secrets.token_hex(8)
    refuse(kept.gate, named, case)
    assert not _names_secrets(kept.gate, named)


@pytest.mark.parametrize("case", SECRET.values(), ids=SECRET.keys())
def test_a_release_refused_for_state_secrets_is_kept_for_good(kept: Kept, case: Case):
    """测绘法 47: the record has no expiry, whichever of its violated rules speaks of secrets."""
    named = secrets.token_hex(8)
    refuse(kept.gate, named, case)
    assert _names_secrets(kept.gate, named)


def test_a_denial_of_policy_names_every_rule_and_its_level(kept: Kept):
    """The genuine entry: what retention reads is what the judge writes."""
    recording = cleanse(kept.gate, {"drive.csv": csv_track(23)})
    request = ReleaseRequest(
        recordings=[recording],
        purpose=PURPOSE,
        recipient=RECIPIENT,
        mode=ReleaseMode.LOCAL,
        expires_at=kept.gate.clock() + timedelta(days=1),
    )
    made = request_release(kept.gate, request, actor=kept.house.people["submitter"].actor)
    build_release(kept.gate, made)
    with pytest.raises(DeniedError) as caught:
        judge_release(at(kept.gate, kept.gate.clock() + timedelta(days=2)), made)
    entry = next(e for e in reversed(list(kept.gate.ledger.entries())) if e.event.type is RELEASE)
    assert rules_of(entry.event) == {v.rule for v in caught.value.decision.violations}
    assert entry.event.facts["level"] == caught.value.decision.level
    assert rules_of(Event(type=RELEASE, outcome=Outcome.REFUSED, actor="a", object="b")) == frozenset()


def test_the_key_of_such_a_release_is_not_destroyed_in_a_hundred_years(kept: Kept):
    refuse(kept.gate, kept.made, SECRET["the second rule"])
    error = refusal(at(kept.gate, datetime(2126, 1, 1, tzinfo=UTC)), f"rel-{kept.made}", kept.house)
    assert (error.rule, error.allowed_from) == ("secret_geo_record_years", None)


def test_keys_whose_term_is_over_are_destroyed_with_a_certificate(kept: Kept, tmp_path: Path):
    """Rule 29: refused before its term, done after it, recorded, and provable offline."""
    gate, officer = kept.gate, kept.house.people["officer"].actor
    made = candidate(gate, kept.house, cleanse(gate, {"drive.csv": csv_track(24)}), days=30)
    event = Event(type=EventType.SERVE_ITEM_READ, outcome=Outcome.COMPLETED, actor="a", object="b")
    receipt = gate.ledger.append(event, detail=b"who it was", subject="reader-9")
    keys = {f"rel-{made}": "provision_record_years", "sub-reader-9": "access_log_days"}
    found = {each.kek_id: each for each in terms(gate)}
    assert {kek: found[kek].rule for kek in keys} == keys
    assert not any(found[kek].is_over(gate.clock()) for kek in keys)
    for kek in keys:
        refusal(gate, kek, kept.house)
        with pytest.raises(RetainedError):
            destroy_record_key(gate, kek, actor=officer)
        moment = found[kek].allowed_from
        assert moment is not None
        late = at(gate, moment)
        assert found[kek].is_over(moment)
        with pytest.raises(ActDeniedError, match="role_permitted"):
            destroy_record_key(late, kek, actor=kept.house.people["first"].actor)
        destroy_record_key(late, kek, actor=officer)
        entries = [gate.ledger.entry(gate.ledger.size - n).event for n in (2, 1)]
        assert [(e.type, e.outcome) for e in entries] == [
            (EventType.VAULT_KEY_DESTROY, Outcome.INTENT),
            (EventType.VAULT_KEY_DESTROY, Outcome.COMPLETED),
        ]
        certificate = certify_record_key(late, kek)
        destroy_record_key(late, kek, actor=officer)
        assert certify_record_key(late, kek) == certificate
        pinned = release_public_jwk(gate), gate.ledger.signer.vkey
        with (tmp_path / f"{kek}.jsonl").open("wb") as stream:
            export_ledger(gate.ledger, stream)
        verified = verify_destruction(certificate, *pinned, ledger=tmp_path / f"{kek}.jsonl")
        assert verified.says["kek"]["id"] == kek
        assert f"{PREFIXES[Kind(verified.says['of']['kind'])]}{verified.says['of']['id']}" == kek
        own, said = gate.keystore.signing_key("release"), verified.says
        lies = (
            {"of": {"id": "other", "kind": "release"}},
            {"of": {"id": kek[4:], "kind": "gate"}},
            {"kek": {**said["kek"], "fingerprint": "00" * 32}},
            {"actor": "somebody"},
            {"recording": "r", "releases": []},
        )
        for lie in lies:
            with pytest.raises(BadExportError):
                verify_destruction(sign_statement(own, DESTRUCTION_TYPE, "k", {**said, **lie}), *pinned)
    with pytest.raises(KeyDestroyedError):
        gate.ledger.detail(receipt.index)
    assert not {each.kek_id for each in terms(gate)} & set(keys)


def test_other_keys_have_no_term_of_their_own(kept: Kept):
    officer = kept.house.people["officer"].actor
    for kek in ("rec-1", kept.gate.gate_kek, "nothing"):
        with pytest.raises(InvalidRequestError, match="no term of its own"):
            destroy_record_key(kept.gate, kek, actor=officer)
    with pytest.raises(KeyUnavailableError):
        destroy_record_key(kept.gate, "sub-nobody", actor=officer)
    with pytest.raises(KeyUnavailableError):
        certify_record_key(kept.gate, f"rel-{kept.made}")


@pytest.mark.parametrize(("release", "rule", "days"), [(None, "access_log_days", 185), ("rel-1", "p", 1095)])
def test_ledger_detail_has_the_term_of_its_entry(
    sqlite_gate: Gate, sqlite_house: House, release: str | None, rule: str, days: int
):
    """CSL 23(3) asks for six months of access log, 网络数据条例 12 for three years of provision."""
    gate, house, subject = sqlite_gate, sqlite_house, f"reader-{days}"
    event = Event(
        type=EventType.SERVE_ITEM_READ, outcome=Outcome.COMPLETED, actor="a", object="b", release=release
    )
    receipt = gate.ledger.append(event, detail=b"who it was", subject=subject)
    kept = refusal(at(gate, receipt.time + timedelta(days=days, seconds=-1)), f"sub-{subject}", house)
    assert kept.rule.startswith(rule)
    assert gate.ledger.detail(receipt.index) == b"who it was"
    over = at(gate, receipt.time + timedelta(days=days + 1))
    destroy_key(over, f"sub-{subject}", actor=house.people["officer"].actor)
    with pytest.raises(KeyDestroyedError):
        gate.ledger.detail(receipt.index)
    assert gate.ledger.verify().size == gate.ledger.size


def test_the_gates_own_key_is_kept_for_good(sqlite_gate: Gate, sqlite_house: House):
    assert refusal(sqlite_gate, sqlite_gate.gate_kek, sqlite_house).allowed_from is None
    with pytest.raises(RetainedError):
        destroy_key(sqlite_gate, "no-such-key", actor=sqlite_house.people["officer"].actor)
    with pytest.raises(KeyUnavailableError):
        destroy_key(sqlite_gate, "sub-nobody", actor=sqlite_house.people["officer"].actor)


@pytest.mark.parametrize("ended", ["2024-02-29T12:00:00.5", "2023-02-28T23:59:59", "2024-12-31T00:00:00"])
def test_dates_that_are_told_are_those_that_policy_judges_by(kept: Kept, ended: str):
    """Python tells a date, Rego judges: on the date it lets go, a microsecond before it does not."""
    officer = kept.house.people["officer"].actor
    moment = datetime.fromisoformat(ended).replace(tzinfo=UTC)
    for kind in (RecordKind.ACCESS, RecordKind.PROVISION, RecordKind.ASSESSMENT):
        told = term_of_record(kept.gate, PARAMETERS[kind], moment)
        assert told is not None
        for now, allowed in ((told, True), (told - timedelta(microseconds=1), False)):
            gate = at(kept.gate, now)
            gate = dataclasses.replace(gate, bundle=dataclasses.replace(gate.bundle, not_before=moment))
            question = destroy_question(
                gate,
                actor=officer,
                of="sub-x",
                seals=Seals.DETAIL,
                records=[Record(kind=kind, ended_at=moment)],
            )
            assert gate.engine.decide(Question.of(question)).allowed is allowed, (kind, now)
