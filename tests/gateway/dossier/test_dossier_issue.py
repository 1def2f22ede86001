"""A dossier is evidence: reproducible, signed, sealed, recorded, provable without a gate (laws 2, 3, 6)."""

import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import rfc8785
import sqlalchemy as sa
import yaml

from audit import verify
from audit.events import EventType, Outcome
from audit.verify_dossier import main, verify_dossier
from gateway.dossier.contents import Edition, gather
from gateway.dossier.decision_part import decision_part
from gateway.dossier.issue import DOSSIER_TYPE, dossier_of, load_dossier
from gateway.dossier.records import DossierRow
from gateway.errors import EvidenceError, ForbiddenError, NotFoundError, StageOrderError
from gateway.flow.judge import load_judged
from gateway.flow.recording import ReleaseMode
from gateway.flow.release import revoke_release
from gateway.people.policy_in_force import shipped_files, store_files
from gateway.people.records import PolicyBundleRow
from gateway.vault.jws import sign_statement, verify_statement
from policies.drafts import draft_of
from policies.question import Point
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
    items = len(json.loads(dossiers.issued[mode, edition].files["dossier.json"])["items"])
    assert found.stages == {Edition.FULL: 5 * items, Edition.RECIPIENT: 0}[edition]


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


def other_evidence(twin: dict[str, Any]) -> None:
    twin["lineage"][0]["stages"][1]["evidence"] = "00" * 32


def swapped_entries(twin: dict[str, Any]) -> None:
    first, second = (item["stages"][2] for item in twin["lineage"][:2])
    first["entry"], second["entry"] = second["entry"], first["entry"]


def unproved_stage(twin: dict[str, Any]) -> None:
    twin["lineage_ledger"].pop()


def skipped_stage(twin: dict[str, Any]) -> None:
    twin["lineage"][0]["stages"].pop(2)


def another_source(twin: dict[str, Any]) -> None:
    """The stages of one item told of another: each is proved, but not of this one."""
    twin["lineage"][0]["stages"][:3] = twin["lineage"][1]["stages"][:3]


def mended_chain(twin: dict[str, Any]) -> None:
    """As before, and the item is told to be the other's source as well, but for its first stage."""
    twin["lineage"][0]["recording"] = twin["lineage"][1]["recording"]
    twin["lineage"][0]["stages"][1:3] = twin["lineage"][1]["stages"][1:3]


def left_out_item(twin: dict[str, Any]) -> None:
    twin["lineage"].pop()


LIES = {
    "evidence": (other_evidence, "attests something else"),
    "entries": (swapped_entries, "attests something else"),
    "no proof": (unproved_stage, "no entry is proved"),
    "no stage": (skipped_stage, "passed other stages"),
    "another item": (another_source, "attests something else"),
    "another beginning": (mended_chain, "attests something else"),
    "an item less": (left_out_item, "lineage is of other items"),
}


@pytest.mark.parametrize("lie", LIES)
def test_what_the_operator_says_of_stages_is_held_against_the_ledger(dossiers, tmp_path, lie):
    """Law 6: even signed by the release key, evidence that no proved entry attests does not verify."""
    folder = shutil.copytree(dossiers.written(), tmp_path / "copy")
    tell, reason = LIES[lie]
    twin = json.loads((folder / "dossier.json").read_bytes())
    tell(twin)
    content = rfc8785.dumps(twin)
    (folder / "dossier.json").write_bytes(content)
    key = dossiers.gate.keystore.statement_key("release")
    said = verify_statement((folder / "dossier.jws").read_text(), DOSSIER_TYPE, key)
    files = {**said["files"], "dossier.json": hashlib.sha256(content).hexdigest()}
    statement = sign_statement(key, DOSSIER_TYPE, "k", {**said, "files": files})
    (folder / "dossier.jws").write_text(statement)
    with pytest.raises(verify.BadExportError, match=reason):
        verify_dossier(folder, dossiers.release_key, dossiers.vkey)


def earlier_version() -> dict[str, bytes]:
    """The shipped bundle as it might have been before it knew two of its points."""
    files = dict(shipped_files())
    catalogue = yaml.safe_load(files["catalogue.yaml"])
    for point in (Point.DESTROY, Point.LOG):
        del catalogue["rules"][point.value], files[f"vectors/{point.value}.yaml"]
        files = {path: content for path, content in files.items() if f"/{point.value}" not in path}
    catalogue["rules"]["release"]["trip_once"]["clause"] = "an older clause"
    return files | {"catalogue.yaml": yaml.safe_dump(catalogue, allow_unicode=True).encode()}


def test_the_clauses_are_those_of_the_bundle_that_decided(dossiers):
    """Law 10: also where another bundle is in force by now, and where an earlier version knew fewer points."""
    gate, release = dossiers.gate, dossiers.releases[ReleaseMode.LOCAL]
    files = shipped_files()
    files |= {"data/approval.yaml": files["data/approval.yaml"] + b"# renewed\n"}
    renewed = dataclasses.replace(gate.bundle, bundle=draft_of(files).bundle)
    then = json.loads(dossiers.issued[ReleaseMode.LOCAL, Edition.FULL].files["dossier.json"])
    now = gather(dataclasses.replace(gate, bundle=renewed), release, then["checkpoint"]["note"])
    assert rfc8785.dumps(now) == rfc8785.dumps(then)
    assert all(rule["clause"] and rule["text_zh"] for rule in now["decision"]["rules"])
    points = {rule["point"] for rule in now["decision"]["rules"]}
    assert (now["decision"]["explained"], points) == (True, {"release", "publish"})
    past = earlier_version()
    digest = draft_of(past, past=True).bundle.digest
    with gate.database.transaction() as session:
        session.execute(sa.delete(PolicyBundleRow).where(PolicyBundleRow.digest == digest))
        store_files(session, gate.keystore, past, kek=gate.gate_kek, now=gate.clock())
    with gate.database.read() as session:
        judged = load_judged(gate, session, release)
        older = dataclasses.replace(judged, decision={**judged.decision, "bundle_digest": digest})
        told = decision_part(gate, session, older, [])
        unknown = dataclasses.replace(judged, decision={**judged.decision, "bundle_digest": "0" * 64})
        bare = decision_part(gate, session, unknown, [])
    clauses = {rule["rule"]: rule["clause"] for rule in told["rules"]}
    assert (told["explained"], clauses["trip_once"]) == (True, "an older clause")
    assert (bare["explained"], {rule["clause"] for rule in bare["rules"]}) == (False, {None})


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
    with pytest.raises(ForbiddenError, match=r"release\.dossier to \w+: role_permitted"):
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
