"""Reports from ledger and evidence: what they say, that they are reproducible, that making one is an entry."""

import base64
import csv
import dataclasses
import hashlib
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import rfc8785
import sqlalchemy as sa
import yaml
from pypdf import PdfReader

from audit import verify
from audit.events import EventType, Outcome
from audit.verify_report import main, verify_report
from gateway.app import release_public_jwk
from gateway.destruction import certify_destruction
from gateway.errors import DeniedError, EvidenceError, ForbiddenError, InvalidRequestError
from gateway.flow.build import build_release
from gateway.flow.erase import erase_recording
from gateway.flow.judge import judge_release
from gateway.flow.law import parameter
from gateway.flow.recording import ReleaseMode
from gateway.flow.records import ReleaseRow
from gateway.flow.request import ReleaseRequest, request_release
from gateway.people.registry import register_recipient
from gateway.reports.annual import form, read_answers
from gateway.reports.made import REPORT_TYPE, Wanted, gather_report, report_files, report_of, write_report
from gateway.reports.tables import csv_of
from gateway.reports.twin import Kind, year_span
from gateway.vault.jws import PrivateKey, public_jwk, sign_statement, verify_statement
from gateway.vault.sm2 import Sm2PrivateKey
from simulators import PURPOSE, RECIPIENT, House, candidate, cleanse, csv_track, grant, publish

YEAR = 2026


def asked_abroad(gate, house, recording: str) -> str:
    register_recipient(gate, "abroad", country="US", contract="C-9", actor=house.people["admin"].actor)
    request = ReleaseRequest(
        recordings=(recording,),
        purpose=PURPOSE,
        recipient="abroad",
        mode=ReleaseMode.LOCAL,
        expires_at=gate.clock() + timedelta(days=30),
    )
    made = request_release(gate, request, actor=house.people["submitter"].actor)
    build_release(gate, made)
    with pytest.raises(DeniedError):
        judge_release(gate, made)
    return made


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A gate from which one drive went out, one was kept from going abroad, and one was erased."""
    house = House(home=tmp_path_factory.mktemp("reports") / "home")
    with house.opened() as gate:
        house.furnish(gate)
        released = candidate(gate, house, cleanse(gate, {"drive.csv": csv_track()}))
        publish(gate, house, released)
        grant(gate, house, released)
        other = cleanse(gate, {"notes.txt": "雨，高速公路。电话13800138000。\n".encode()})
        abroad = asked_abroad(gate, house, other)
        erase_recording(gate, other, actor=house.people["officer"].actor)
        certificate = certify_destruction(gate, other)
        auditor = house.people["auditor"].actor
        twins = {
            kind: report_of(gate, Wanted(kind=kind, year=gate.clock().year), actor=auditor) for kind in Kind
        }
        yield SimpleNamespace(
            house=house, gate=gate, released=released, abroad=abroad, erased=other,
            certificate=certificate, auditor=auditor, twins=twins,
        )  # fmt: skip


def test_the_register_names_each_provision(told):
    """D1: recipient, contract, purpose, kinds, counts, ground, subjects, dates: entry, manifest and evidence."""
    (row,) = told.twins[Kind.PROVISIONS]["rows"]
    assert (row["release"], row["recipient"], row["country"]) == (told.released, RECIPIENT, "CN")
    assert (row["contract"], row["purpose"], row["assessment"]) == ("C-1", PURPOSE, "PIA-1")
    assert (row["classes"], row["items"], row["approvals"]) == ({"TRAJ_REL": 1}, 1, 2)
    assert row["area_km2"] > 0
    assert row["revoked_at"] is None
    kept = told.twins[Kind.PROVISIONS]["kept"]
    assert (kept["value"], kept["confidence"]) == (3, "L")


def test_a_row_that_was_changed_does_not_change_the_register(told):
    """Law 6: recipient and purpose are those of the entry, whatever the column says."""
    gate, wanted = (
        told.gate,
        Wanted(kind=Kind.PROVISIONS, note=told.twins[Kind.PROVISIONS]["checkpoint"]["note"]),
    )
    before = gather_report(gate, wanted)
    row = sa.update(ReleaseRow).where(ReleaseRow.id == told.released)
    with gate.database.transaction() as session:
        session.execute(row.values(recipient="abroad", purpose="marketing"))
    try:
        assert gather_report(gate, wanted) == before
    finally:
        with gate.database.transaction() as session:
            session.execute(row.values(recipient=RECIPIENT, purpose=PURPOSE))


def test_counts_stand_against_the_thresholds_of_the_policy_data(told):
    twin = told.twins[Kind.COUNTS]
    (row,) = twin["rows"]
    assert (row["recipient"], row["releases"], row["important_data"]) == (RECIPIENT, 1, False)
    assert row["area_m2"] > 0
    day = told.gate.clock().date()
    for name, (file, value) in {
        "important_data_subjects": ("subjects", 100_000),
        "large_handler_subjects": ("subjects", 10_000_000),
        "secret_area_km2": ("surveying", 25),
    }.items():
        assert twin["thresholds"][name] == parameter(told.gate, file, name, day)
        assert twin["thresholds"][name]["value"] == value
        assert twin["thresholds"][name]["source"]


def test_deletions_name_key_and_certificate(told):
    rows = [r for r in told.twins[Kind.DELETIONS]["rows"] if r["object"] == told.erased]
    (erased,) = [r for r in rows if r["type"] == EventType.ERASE_RECORDING_ERASE.value]
    assert erased["certificate"] == hashlib.sha256(told.certificate.encode()).hexdigest()
    assert erased["fingerprint"]
    assert erased["actor"] == "officer"


def test_attempts_at_export_are_those_that_rule_23_refused(told):
    twin = told.twins[Kind.EXPORTS]
    assert set(twin["against"]) >= {"domestic_subject", "no_export"}
    (row,) = twin["rows"]
    assert (row["release"], row["recipient"], row["rules"]) == (told.abroad, "abroad", ["no_export"])


def test_the_annual_report_states_what_the_gate_knows_and_asks_for_the_rest(told, tmp_path):
    """What nobody answered stays a field; an answer stands as given; the confidence of the form is shown."""
    twin = told.twins[Kind.ANNUAL]
    assert twin["due"]["date"] == f"{told.gate.clock().year}-12-15"
    assert (twin["due"]["confidence"], twin["form"]["confidence"]) == ("M", "M")
    assert (twin["received"]["recordings"], twin["received"]["vehicles"]) == (2, 1)
    assert len(twin["provisions"]["rows"]) == len(twin["exports"]["rows"]) == 1
    assert twin["complete"] is False
    asked = {name: value for row in twin["rows"] for name, value in row["answers"].items()}
    assert asked
    assert set(asked.values()) == {None}
    answers = tmp_path / "answers.yaml"
    answers.write_text("complaints: 收到两起投诉，均已办结\n", "utf-8")
    wanted = Wanted(
        kind=Kind.ANNUAL, year=twin["year"], answers=read_answers(answers), note=twin["checkpoint"]["note"]
    )
    files = report_files(gather_report(told.gate, wanted))
    page = files["report.zh.html"].decode()
    assert "收到两起投诉，均已办结" in page
    assert page.count("【待负责人填写】") == len(asked) - 1
    for item in form()["items"]:
        assert item["zh"] in page
        assert item["en"].replace("'", "&#39;") in files["report.en.html"].decode()


BAD_ANSWERS = {
    "unknown field": ("weather: fine\n", "unknown fields"),
    "no mapping": ("- complaints\n", "expected fields with text"),
    "number": ("complaints: 2\n", "expected text"),
    "empty": ('complaints: " "\n', "expected text"),
    "no YAML": ("complaints: [\n", "is no YAML"),
}


@pytest.mark.parametrize("case", BAD_ANSWERS)
def test_bad_answers_are_refused(tmp_path, case):
    content, reason = BAD_ANSWERS[case]
    path = tmp_path / "answers.yaml"
    path.write_text(content, "utf-8")
    with pytest.raises(InvalidRequestError, match=reason):
        read_answers(path)


@pytest.mark.parametrize("kind", list(Kind))
def test_made_again_at_the_same_checkpoint_it_is_the_same(told, kind):
    twin = told.twins[kind]
    wanted = Wanted(kind=kind, year=told.gate.clock().year, note=twin["checkpoint"]["note"])
    assert rfc8785.dumps(gather_report(told.gate, wanted)) == rfc8785.dumps(twin)
    size, root, _ = verify.open_checkpoint(twin["checkpoint"]["note"], told.gate.ledger.signer.vkey)
    for each in twin["ledger"]:
        verify.check_proved(each["index"], each["leaf"], each["proof"], size, root)
    proved = {each["index"] for each in twin["ledger"]}
    assert {row["entry"] for row in twin["rows"] if "entry" in row} <= proved


def test_making_one_is_an_entry_and_not_for_everybody(told):
    made = [e.event for e in told.gate.ledger.entries() if e.event.type is EventType.REPORT_LEDGER_MAKE]
    completed = {e.object: e.digests["report"] for e in made if e.outcome is Outcome.COMPLETED}
    for kind, twin in told.twins.items():
        assert completed[kind.value] == hashlib.sha256(rfc8785.dumps(twin)).hexdigest()
    with pytest.raises(ForbiddenError, match=r"report\.counts to \w+: role_permitted"):
        report_of(told.gate, Wanted(kind=Kind.COUNTS), actor=told.house.people["engineer"].actor)
    with pytest.raises(ValueError, match="has a year"):
        gather_report(told.gate, Wanted(kind=Kind.ANNUAL))


def test_a_folder_holds_signed_documents_in_both_languages(told, tmp_path):
    twin = told.twins[Kind.PROVISIONS]
    names = write_report(told.gate, twin, tmp_path / "out")
    said = verify_statement(
        (tmp_path / "out" / "report.jws").read_text(),
        REPORT_TYPE,
        told.gate.keystore.statement_key("release"),
    )
    proofs = {"report.jws", "receipt.json"}
    proofs |= {"verify.py", "verify_folder.py", "verify_report.py", "verify_sm2.py"}
    assert set(said["files"]) == {*names} - proofs
    for name, digest in said["files"].items():
        content = (tmp_path / "out" / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == digest, name
    (row,) = list(csv.DictReader(io.StringIO((tmp_path / "out" / "report.csv").read_text("utf-8"))))
    assert (row["release"], json.loads(row["classes"])) == (told.released, {"TRAJ_REL": 1})
    for language in ("zh", "en"):
        reader = PdfReader(tmp_path / "out" / f"report.{language}.pdf")
        assert f"1 / {len(reader.pages)}" in reader.pages[0].extract_text()
    assert report_files(twin) == report_files(json.loads((tmp_path / "out" / "report.json").read_bytes()))


def test_a_year_is_that_of_china():
    since, until = year_span(YEAR)
    assert (since.isoformat(), until.isoformat()) == (
        "2025-12-31T16:00:00+00:00",
        "2026-12-31T16:00:00+00:00",
    )


def test_a_spreadsheet_runs_nothing():
    assert csv_of([{"object": "=HYPERLINK()", "count": 2}]) == b"object,count\r\n'=HYPERLINK(),2\r\n"


def test_periods_narrow_what_is_told(told):
    twin = told.twins[Kind.PROVISIONS]
    past = Wanted(kind=Kind.PROVISIONS, year=2022, note=twin["checkpoint"]["note"])
    assert gather_report(told.gate, past)["rows"] == []
    assert gather_report(told.gate, dataclasses.replace(past, year=None))["rows"] == twin["rows"]


def test_the_form_is_whole():
    """Every field has words in both languages, and no field is asked twice."""
    document = yaml.safe_load((Path(__file__).parents[3] / "gateway/dossier/words.yaml").read_text("utf-8"))
    asked = [name for item in form()["items"] for name in item["ask"]]
    assert len(asked) == len(set(asked))
    assert all(set(document["words"][f"r.field.{name}"]) == {"zh", "en"} for name in asked)


@pytest.fixture(scope="module")
def written(told, tmp_path_factory: pytest.TempPathFactory) -> dict[Kind, Path]:
    folders = {kind: tmp_path_factory.mktemp(kind.value) for kind in Kind}
    for kind, folder in folders.items():
        write_report(told.gate, told.twins[kind], folder)
    return folders


@pytest.mark.parametrize("kind", list(Kind))
def test_a_report_verifies_without_a_gate(told, written, kind):
    found = verify_report(written[kind], release_public_jwk(told.gate), told.gate.ledger.signer.vkey)
    twin = told.twins[kind]
    assert (found.report, found.absent, len(found.files)) == (kind.value, (), 6)
    assert found.entries == len(twin["ledger"]) > 0
    parts = [twin]
    if kind is Kind.ANNUAL:
        parts = [twin[name] for name in ("provisions", "counts", "deletions", "exports")]
    assert found.rows == sum(len(part["rows"]) for part in parts) > 0


def test_the_verifier_of_reports_runs_alone(told, written, tmp_path):
    """The files beside the report need Python and ``cryptography``, nothing of Fleetgate."""
    folder = shutil.copytree(written[Kind.COUNTS], tmp_path / "copy")
    (folder / "report.zh.pdf").unlink()
    alone = (
        "import runpy, sys\nsys.modules['audit'] = None\nsys.path.insert(0, sys.argv[1])\n"
        "runpy.run_path(sys.argv[1] + '/verify_report.py', run_name='__main__')\n"
    )
    done = subprocess.run(  # noqa: S603 (this interpreter on the copied verifier)
        [sys.executable, "-c", alone, folder, "--release-key", release_public_jwk(told.gate),
         "--vkey", told.gate.ledger.signer.vkey, "--json"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["absent"] == ["report.zh.pdf"]


def another_recipient(twin: dict[str, Any]) -> None:
    twin["rows"][0]["recipient"] = "abroad"


def another_entry(twin: dict[str, Any]) -> None:
    twin["rows"][0]["entry"] += 1


def another_day(twin: dict[str, Any]) -> None:
    twin["rows"][0]["released_at"] = "2020-01-01T00:00:00.000000Z"


def another_row(twin: dict[str, Any]) -> None:
    """What no entry holds is the operator's word; but the ledger records the making of another report."""
    twin["rows"][0]["contract"] = "C-2"


def another_proof(twin: dict[str, Any]) -> None:
    twin["ledger"][0]["proof"][0] = "00" * 32


LIES = {
    "recipient": (another_recipient, "says otherwise than its entry"),
    "entry": (another_entry, "which is not proved"),
    "day": (another_day, "says otherwise than its entry"),
    "contract": (another_row, "does not record this report"),
    "proof": (another_proof, "inclusion proof leads elsewhere"),
}


@pytest.mark.parametrize("lie", LIES)
def test_what_a_signed_report_says_is_held_against_the_ledger(told, written, tmp_path, lie):
    folder = shutil.copytree(written[Kind.PROVISIONS], tmp_path / "copy")
    tell, reason = LIES[lie]
    twin = json.loads((folder / "report.json").read_bytes())
    tell(twin)
    resigned(folder, rfc8785.dumps(twin), told.gate.keystore.statement_key("release"))
    with pytest.raises(verify.BadExportError, match=reason):
        verify_report(folder, release_public_jwk(told.gate), told.gate.ledger.signer.vkey)


def resigned(folder: Path, content: bytes, key: PrivateKey) -> None:
    (folder / "report.json").write_bytes(content)
    payload = (folder / "report.jws").read_text().split(".")[1]
    said = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    files = {**said["files"], "report.json": hashlib.sha256(content).hexdigest()}
    (folder / "report.jws").write_text(sign_statement(key, REPORT_TYPE, "k", {**said, "files": files}))


def test_a_report_that_sm2_signed_verifies(told, written, tmp_path, capsys):
    """GB/T 39786: the commercial suite's release key; the other key and a changed file are told."""
    folder = shutil.copytree(written[Kind.EXPORTS], tmp_path / "copy")
    key = Sm2PrivateKey.generate()
    resigned(folder, (folder / "report.json").read_bytes(), key)
    vkey, jwk = told.gate.ledger.signer.vkey, json.dumps(public_jwk(key))
    assert verify_report(folder, jwk, vkey).report == "exports"
    assert main([str(folder), "--release-key", release_public_jwk(told.gate), "--vkey", vkey]) == 1
    (folder / "report.en.html").write_bytes(b"nothing")
    assert main([str(folder), "--release-key", jwk, "--vkey", vkey, "--json"]) == 1
    assert main([str(folder), "--release-key", "{", "--vkey", vkey]) == 2
    assert "report.en.html has another digest" in capsys.readouterr().out


def test_only_a_report_that_was_made_is_written(told, tmp_path):
    wanted = Wanted(kind=Kind.COUNTS, year=2022)
    with pytest.raises(EvidenceError, match="no entry records"):
        write_report(told.gate, gather_report(told.gate, wanted), tmp_path)
