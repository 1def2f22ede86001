"""A dossier is evidence: reproducible, signed, sealed, recorded, provable without a gate (laws 2, 3, 6)."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import rfc8785
import sqlalchemy as sa

from audit import verify
from audit.events import EventType, Outcome
from audit.verify_dossier import main, verify_dossier
from gateway.dossier.contents import Edition, gather
from gateway.dossier.issue import dossier_of, load_dossier
from gateway.dossier.records import DossierRow
from gateway.errors import EvidenceError, ForbiddenError, NotFoundError, StageOrderError
from gateway.flow.recording import ReleaseMode
from gateway.flow.release import revoke_release
from simulators import candidate, cleanse, grant, publish

ROOT = Path(__file__).parents[3]

RENDERED_ELSEWHERE = """
import hashlib, json, sys
from gateway.dossier.rendered import digests_of, files_of
print(json.dumps(digests_of(files_of(json.loads(open(sys.argv[1], encoding="utf-8").read())))))
"""


ALONE = """
import runpy, sys
sys.modules["audit"] = None
sys.path.insert(0, sys.argv[1])
runpy.run_path(f"{sys.argv[1]}/verify_dossier.py", run_name="__main__")
"""


@pytest.mark.parametrize("edition", list(Edition))
def test_another_process_renders_the_same_bytes(dossiers, edition):
    """Whatever its hash seed, time zone and locale: the digests are those that were signed."""
    folder = dossiers.written(ReleaseMode.OFFSET, edition)
    seed = {Edition.FULL: "1", Edition.RECIPIENT: "4242"}[edition]
    zone = {Edition.FULL: "Asia/Shanghai", Edition.RECIPIENT: "America/St_Johns"}[edition]
    done = subprocess.run(  # noqa: S603 (this interpreter on the text above)
        [sys.executable, "-c", RENDERED_ELSEWHERE, folder / "dossier.json"],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "PYTHONHASHSEED": seed,
            "TZ": zone,
            "LC_ALL": "C",
        },
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == dict(dossiers.issued[ReleaseMode.OFFSET, edition].digests)


def test_gathered_again_at_the_same_checkpoint_it_is_the_same(dossiers):
    """What happened after the checkpoint does not count, and nothing in the twin is of the moment of gathering."""
    issued = dossiers.issued[ReleaseMode.LOCAL, Edition.FULL]
    note = json.loads(issued.files["dossier.json"])["checkpoint"]["note"]
    grant(dossiers.gate, dossiers.house, issued.release, "stranger")
    again = gather(dossiers.gate, issued.release, note)
    assert rfc8785.dumps(again) == issued.files["dossier.json"]


@pytest.mark.parametrize("edition", list(Edition))
@pytest.mark.parametrize("mode", [ReleaseMode.LOCAL, ReleaseMode.OFFSET])
def test_it_verifies_without_a_gate(dossiers, mode, edition):
    found = verify_dossier(dossiers.written(mode, edition), dossiers.release_key, dossiers.vkey)
    assert (found.release, found.edition) == (dossiers.releases[mode], edition.value)
    assert (found.approvals, found.absent) == (2, ())
    assert len(found.files) == 7


def test_the_verifier_runs_alone(dossiers, tmp_path):
    """The files beside the dossier need Python and ``cryptography``, nothing of Fleetgate."""
    folder = shutil.copytree(dossiers.written(), tmp_path / "copy")
    (folder / "dossier.zh.pdf").unlink()
    done = subprocess.run(  # noqa: S603 (this interpreter on the copied verifier)
        [sys.executable, "-c", ALONE, folder, "--release-key", dossiers.release_key,
         "--vkey", dossiers.vkey, "--json"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["absent"] == ["dossier.zh.pdf"]


def changed_document(folder: Path) -> None:
    path = folder / "dossier.en.html"
    path.write_bytes(path.read_bytes().replace(b"perception-team", b"perception-teem"))


def changed_twin(folder: Path) -> None:
    path = folder / "dossier.json"
    path.write_bytes(path.read_bytes().replace(b'"contract":"C-1"', b'"contract":"C-2"'))


def missing_twin(folder: Path) -> None:
    (folder / "dossier.json").unlink()


def changed_signature(folder: Path) -> None:
    path = folder / "dossier.jws"
    head, payload, signature = path.read_text().split(".")
    path.write_text(f"{head}.{payload}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}")


def changed_receipt(folder: Path) -> None:
    path = folder / "receipt.json"
    receipt = json.loads(path.read_text())
    path.write_text(json.dumps(receipt | {"index": receipt["index"] - 1}))


TAMPERED = {
    "document": (changed_document, "dossier.en.html has another digest"),
    "twin": (changed_twin, "dossier.json has another digest"),
    "no twin": (missing_twin, "dossier.json is not here"),
    "signature": (changed_signature, "does not verify under the given key"),
    "receipt": (changed_receipt, "index"),
}


@pytest.mark.parametrize("case", TAMPERED)
def test_what_was_changed_does_not_verify(dossiers, tmp_path, case):
    folder = shutil.copytree(dossiers.written(), tmp_path / "copy")
    change, reason = TAMPERED[case]
    change(folder)
    with pytest.raises(verify.BadExportError, match=reason):
        verify_dossier(folder, dossiers.release_key, dossiers.vkey)


def test_another_key_does_not_do(dossiers, capsys):
    folder = str(dossiers.written())
    other = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    assert main([folder, "--release-key", other, "--vkey", dossiers.vkey]) == 1
    assert main([folder, "--release-key", "{", "--vkey", dossiers.vkey]) == 2
    assert main([folder, "--release-key", dossiers.release_key, "--vkey", "nobody"]) == 2
    assert "BAD" in capsys.readouterr().out


def test_issue_and_reads_are_entries(dossiers):
    """Law 2: the intent precedes the dossier, the completion holds the digests; each reading is an entry, too."""
    issued = dossiers.issued[ReleaseMode.OFFSET, Edition.FULL]
    entries = [e.event for e in dossiers.gate.ledger.entries() if e.event.object == issued.release]
    made = [e for e in entries if e.type is EventType.DOSSIER_RELEASE_ISSUE]
    assert [e.outcome for e in made] == [Outcome.INTENT, Outcome.COMPLETED]
    assert made[1].digests["full"] == hashlib.sha256(issued.statement.encode()).hexdigest()
    read = [e for e in entries if e.type is EventType.DOSSIER_RELEASE_READ and e.outcome is Outcome.COMPLETED]
    assert {e.facts["edition"] for e in read} == {"full", "recipient"}
    assert {e.actor for e in read} == {"auditor"}


def test_files_are_sealed_at_rest(dossiers):
    """Law 3: nothing that a dossier says lies on the gate's disk in the clear."""
    issued = dossiers.issued[ReleaseMode.OFFSET, Edition.FULL]
    heads = [content[200:260] for content in issued.files.values()]
    for path in (dossiers.house.home / "objects").rglob("*"):
        if path.is_file():
            stored = path.read_bytes()
            assert not any(head in stored for head in heads), path


def test_only_reviewers_get_one(dossiers):
    people, release = dossiers.house.people, dossiers.releases[ReleaseMode.LOCAL]
    with pytest.raises(ForbiddenError, match=r"release\.dossier needs a role"):
        dossier_of(dossiers.gate, release, actor=people["engineer"].actor)
    assert dossier_of(dossiers.gate, release, actor=people["officer"].actor, names=frozenset()).files == {}
    with pytest.raises(NotFoundError, match="no such file"):
        dossier_of(dossiers.gate, release, actor=people["officer"].actor, names=frozenset({"x.pdf"}))
    with pytest.raises(NotFoundError, match="no such release"):
        dossier_of(dossiers.gate, "nowhere", actor=people["officer"].actor)


def test_a_renewed_one_tells_what_happened_since_and_the_old_one_stays_as_it_was(dossiers):
    """And a candidate that has not gone out has none."""
    gate, house = dossiers.gate, dossiers.house
    made = candidate(gate, house, cleanse(gate, {"notes.txt": "阴天，乡村道路。\n".encode()}))
    officer = house.people["officer"].actor
    with pytest.raises(StageOrderError, match="has not gone out"):
        dossier_of(gate, made, actor=officer)
    publish(gate, house, made)
    first = dossier_of(gate, made, actor=officer, names=frozenset({"dossier.json"}))
    revoke_release(gate, made, actor=officer)
    unchanged = dossier_of(gate, made, actor=officer, names=frozenset({"dossier.json"}))
    renewed = dossier_of(gate, made, actor=officer, names=frozenset({"dossier.json"}), renew=True)
    assert unchanged == first
    assert json.loads(first.files["dossier.json"])["release"]["revoked"] is None
    twin = json.loads(renewed.files["dossier.json"])
    assert twin["release"]["revoked"]["by"] == "officer"
    assert (twin["area"]["kind"], twin["detection"]) == ("none", [])
    broken_rows_are_refused(gate, made)


def broken_rows_are_refused(gate, release: str) -> None:
    """Law 6: a row that says another dossier than the ledger attests is broken evidence."""
    with gate.database.read() as session:
        rows = session.scalars(
            sa.select(DossierRow).where(DossierRow.release_id == release).order_by(DossierRow.id)
        ).all()
        old, new = ((row.statements, row.seals) for row in rows)
    newest = sa.update(DossierRow).where(DossierRow.id == rows[-1].id)
    for changed, reason in (
        ({"statements": old[0]}, "does not attest"),
        ({"statements": {"full": new[0]["recipient"]}}, "another release or edition"),
        ({"statements": {"full": "a.b.c"}}, "does not verify"),
    ):
        with gate.database.transaction() as session:
            session.execute(newest.values(**changed))
        with pytest.raises(EvidenceError, match=reason):
            load_dossier(gate, release)
    with gate.database.transaction() as session:
        session.execute(newest.values(statements=new[0], seals=old[1]))
    with pytest.raises(EvidenceError, match="is not what was signed"):
        load_dossier(gate, release)
