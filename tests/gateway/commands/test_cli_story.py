"""A gate by commands alone: set up, ingest, release with two approvals, serve, fetch, audit, erase."""

import json
import os
import re
import subprocess
import sys
import zipfile
from contextlib import contextmanager

import pytest

from audit.events import EventType, Outcome
from simulators import UNIT

REGION = "110108"


@pytest.fixture(scope="module")
def recording(furnished, disk):
    """The disk, ingested; what nobody understands is held."""
    return furnished.did("officer", "ingest", disk, "--carrier", "disk-1", "--unit", UNIT, "--region", REGION,
                         "--attest-outside-zones", "a closed test track")  # fmt: skip


@pytest.fixture(scope="module")
def judged(furnished, recording):
    return furnished.did("submitter", "release", "request", recording["recording"], "--purpose", "training",
                         "--recipient", "team", "--days", "30")  # fmt: skip


@pytest.fixture(scope="module")
def released(furnished, judged):
    for person in ("first", "second"):
        furnished.did(person, "release", "show", judged["release"])
        furnished.did(person, "release", "approve", judged["release"])
    published = furnished.did("first", "release", "publish", judged["release"])
    furnished.did("second", "grant", "issue", judged["release"], "--principal", "engineer", "--days", "7")
    return published


def test_init_is_safe_to_repeat(furnished):
    first, again = (furnished.run("init", "--json").document for _ in range(2))
    assert first == again
    assert first["profile"] == "cn-2026"
    assert first["ledger_key"] == furnished.run("audit", "key", "--json").document["vkey"]


def test_ingest_holds_what_nobody_understands_and_says_why(furnished, recording):
    states = {item["name"]: item["state"] for item in recording["items"]}
    assert states == {
        "drive.csv": "cleansed",
        "lidar/0.bin": "cleansed",
        "notes.txt": "cleansed",
        "radar.raw": "held",
    }
    held = next(item for item in recording["items"] if item["state"] == "held")
    assert held["reason"] == "unknown_format"
    assert "00 01 02 03" in held["detail"]
    lines = furnished.run("status", recording["recording"], *furnished.proof("officer")).out
    assert re.search(r"held +radar\.raw +unknown_format", lines)


def test_ingest_again_changes_nothing(furnished, recording, disk):
    again = furnished.did("officer", "ingest", disk, "--carrier", "disk-1", "--unit", UNIT, "--region", REGION,
                          "--attest-outside-zones", "a closed test track")  # fmt: skip
    assert again == recording
    assert furnished.run("work", "--json").document["recordings"] == []


def test_operators_see_what_they_sign(furnished, judged):
    shown = furnished.did("first", "release", "show", judged["release"])
    assert shown["digest"] == judged["digest"]
    assert shown["findings"]["phone"] == 1
    text = furnished.run("release", "show", judged["release"], *furnished.proof("auditor")).out
    assert judged["digest"] in text


def test_publishing_takes_two_approvals(furnished, judged, released):
    """Law 8, by the ledger: what came before the second approval was denied by rule."""
    assert released["digest"] == judged["digest"]
    shown = furnished.did("first", "release", "show", judged["release"])
    assert [a["approver"] for a in shown["approvals"]] == ["first", "second"]
    assert shown["state"] == "released"


@contextmanager
def serving(cli):
    """``fleetgate serve`` in a process of its own on a port of its own choice."""
    command = [sys.executable, "-m", "gateway.cli", "serve", "--port", "0"]
    environment = {**os.environ, **cli.environment}
    with subprocess.Popen(  # noqa: S603 (our own command)
        command, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            for line in process.stderr:
                found = re.search(r"running on (http://[\d.]+:\d+)", line)
                if found:
                    break
            yield found.group(1)
        finally:
            process.terminate()
            process.communicate(timeout=60)


@pytest.fixture(scope="module")
def fetched(furnished, released, tmp_path_factory):
    """The engineer's side, against ``fleetgate serve``: what may be read and what may not."""
    folder = tmp_path_factory.mktemp("engineer")
    furnished.run("release", "key", "--out", folder / "release.jwk")

    def fetch(url, purpose, key="engineer", release_key=folder / "release.jwk"):
        return furnished.run(
            "fetch", released["release"], "--url", url, "--key", furnished.keys / f"{key}.pem",
            "--passphrase-file", furnished.passphrase_file, "--principal", "engineer", "--purpose", purpose,
            "--release-key", release_key, "--out", folder / "out", "--json",
        )  # fmt: skip

    text = json.loads(furnished.run("key", "new", folder / "other.pem", "--key-passphrase-file",
                                    furnished.passphrase_file, "--json").out)["public_key"]  # fmt: skip
    other = folder / "other.jwk"
    other.write_text(json.dumps({"kty": "OKP", "crv": "Ed25519", "x": text}))
    with serving(furnished) as url:
        return {
            "first": fetch(url, "training"),
            "again": fetch(url, "training"),
            "purpose": fetch(url, "curiosity"),
            "key": fetch(url, "training", key="auditor"),
            "signer": fetch(url, "training", release_key=other),
            "folder": folder / "out",
        }


def test_fetch_brings_verified_files_and_keeps_them(fetched):
    assert fetched["first"].code == fetched["again"].code == 0
    names = fetched["first"].document["fetched"]
    assert len(names) == 3
    assert fetched["again"].document["kept"] == names
    everything = b"".join(path.read_bytes() for path in fetched["folder"].iterdir())
    assert b"13800138000" not in everything
    assert b"radar" not in everything


@pytest.mark.parametrize("name", ["purpose", "key", "signer"])
def test_fetch_that_may_not_be_exits_1_with_a_reason(fetched, name):
    assert fetched[name].code == 1
    assert fetched[name].document["reason"]


def test_auditor_verifies_queries_and_exports(furnished, released, fetched, tmp_path):
    verified = furnished.run("audit", "verify", "--json").document
    assert verified["open_intents"] == 0
    found = furnished.did("auditor", "audit", "query", "--release", released["release"],
                          "--type", "serve:item:read", "--outcome", "completed")  # fmt: skip
    assert {entry["actor"] for entry in found["entries"]} == {"engineer"}
    assert len(found["entries"]) == len(fetched["first"].document["fetched"])
    file = tmp_path / "ledger.jsonl"
    exported = furnished.did("auditor", "audit", "export", file)
    command = [sys.executable, "-m", "audit.verify", file, "--vkey", exported["vkey"], "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)  # noqa: S603
    assert (done.returncode, json.loads(done.stdout)["ok"]) == (0, True)
    file.write_bytes(file.read_bytes().replace(b'"actor"', b'"Actor"', 1).replace(b"proof", b"Proof", 1))
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)  # noqa: S603
    assert done.returncode == 1


@pytest.mark.usefixtures("released")
@pytest.mark.parametrize("rendering", ["ocsf", "ecs", "cef", "csv"])
def test_auditor_renders_the_ledger_for_other_systems(furnished, tmp_path, rendering):
    file = tmp_path / "rendered"
    done = furnished.did("auditor", "audit", "export", file, "--format", rendering)
    command = [sys.executable, "-m", "audit.verify_rendering", str(file), "--vkey", done["vkey"], "--json"]
    proved = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (our own command)
    assert json.loads(proved.stdout) == {"ok": True, "count": done["entries"]}


@pytest.mark.usefixtures("released")
def test_auditor_archives_tiles_and_bundles_for_a_regulator(furnished, tmp_path):
    archived = furnished.did("auditor", "audit", "tiles", tmp_path / "tiles")
    command = [
        sys.executable,
        "-m",
        "audit.verify",
        str(tmp_path / "tiles"),
        "--vkey",
        archived["vkey"],
        "--json",
    ]
    verified = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (our own command)
    assert json.loads(verified.stdout)["count"] == archived["entries"]
    bundled = furnished.did("auditor", "audit", "bundle", tmp_path / "bundle.zip")
    assert bundled["entries"] == bundled["size"] > archived["entries"]
    with zipfile.ZipFile(tmp_path / "bundle.zip") as archive:
        assert {"entries.jsonl", "verify.py", "README.zh.txt", "README.en.txt"} <= set(archive.namelist())
        assert json.loads(archive.read("documents/recipients.json"))["rows"][0]["recipient"] == "team"


@pytest.mark.parametrize("question", ["raw", "recipients", "denials", "deletions", "retention"])
def test_auditor_asks_what_regulators_ask(furnished, released, question):
    answer = furnished.did("auditor", "audit", "ask", question)
    assert answer["question"] == question
    assert answer["title"]["zh"]
    if question == "recipients":
        (row,) = answer["rows"]
        assert row["releases"] == [released["release"]]
        assert row["area_m2"] > 0
        assert answer["findings"] == []
    # The term rests on a number that no primary text confirmed, and says so.
    term = answer.get("term", {})
    expected = (14, "m", True) if question == "retention" else (None, None, None)
    assert (term.get("value"), term.get("confidence"), term.get("unverified")) == expected
    entry = furnished.entries()[-1].event
    assert (entry.type.value, entry.facts["question"]) == ("audit:ledger:query", question)


def test_policy_export_and_jobs(furnished, tmp_path):
    digest = furnished.run("init", "--json").document["policy_bundle"]
    exported = furnished.run("policy", "export", tmp_path / "bundle", "--json")
    assert exported.document["digest"] == digest
    assert list((tmp_path / "bundle").rglob("*.rego"))
    assert furnished.run("job", "checkpoint", "--json").document["size"] > 0
    assert furnished.run("job", "retention", "--json").document == {
        "originals": 0,
        "grants": 0,
        "candidates": 0,
        "intake_keys": 0,
    }
    assert furnished.run("job", "orphaned_intents", "--json").document == {"orphans": 0}


# Each: who tries, what, the reason; every one leaves an entry in the ledger (law 10).
FORBIDDEN = {
    "engineer adds a vehicle": ("engineer", ["vehicle", "add", "v", "--public-key", "{jwk}"]),
    "auditor registers a certificate": (
        "auditor",
        ["certificate", "add", "n", "--kind", "k", "--grade", "A", "--holder", "u", "--region", "11",
         "--valid-from", "2020-01-01", "--valid-to", "2030-01-01", "--document", "{jwk}"],
    ),
    "operator registers a recipient": ("first", ["recipient", "add", "x", "--country", "CN", "--contract", "c"]),
    "operator registers a purpose": ("first", ["purpose", "add", "x", "--assessment", "a"]),
    "operator installs zones": ("first", ["zones", "install", "{jwk}"]),
    "operator enrols a person": ("first", ["person", "add", "x", "--public-key", "{jwk}", "--role", "operator"]),
    "operator ingests": ("first", ["ingest", "{disk}", "--carrier", "d", "--region", REGION]),
    "engineer looks at a recording": ("engineer", ["status", "{recording}"]),
    "engineer looks at a release": ("engineer", ["release", "show", "{release}"]),
    "auditor requests a release": (
        "auditor", ["release", "request", "{recording}", "--purpose", "training", "--recipient", "team"],
    ),
    "officer approves": ("officer", ["release", "approve", "{release}"]),
    "auditor publishes": ("auditor", ["release", "publish", "{release}"]),
    "engineer revokes": ("engineer", ["release", "revoke", "{release}"]),
    "engineer grants": ("engineer", ["grant", "issue", "{release}", "--principal", "engineer"]),
    "auditor revokes a grant": ("auditor", ["grant", "revoke", "x"]),
    "operator queries the ledger": ("first", ["audit", "query"]),
    "operator exports the ledger": ("first", ["audit", "export", "{out}"]),
    "operator archives the ledger": ("first", ["audit", "tiles", "{out}"]),
    "operator bundles the ledger": ("first", ["audit", "bundle", "{out}"]),
    "operator asks the ledger": ("first", ["audit", "ask", "raw"]),
    "operator erases": ("first", ["erase", "{recording}"]),
}  # fmt: skip


@pytest.fixture(scope="module")
def forbidden(furnished, recording, released, disk, tmp_path_factory):
    """All of them tried, and the ledger's entries since."""
    out = tmp_path_factory.mktemp("forbidden") / "out"
    words = {
        "{jwk}": str(furnished.keys / "admin.jwk"), "{disk}": str(disk), "{out}": str(out),
        "{recording}": recording["recording"], "{release}": released["release"],
    }  # fmt: skip
    before = len(furnished.entries())
    answers = {
        name: furnished.act(who, *[words.get(a, a) for a in arguments])
        for name, (who, arguments) in FORBIDDEN.items()
    }
    assert not out.exists()
    return answers, [entry.event for entry in furnished.entries()[before:]]


@pytest.mark.parametrize("name", FORBIDDEN)
def test_role_that_does_not_fit_is_refused(forbidden, name):
    answers, _ = forbidden
    assert answers[name].code == 1, answers[name]
    assert answers[name].document["error"] == "forbidden"


def test_each_refusal_is_in_the_ledger_and_nothing_else(forbidden):
    """Law 10; and law 2's other half: a refused attempt has no effect."""
    _, events = forbidden
    assert {(e.type, e.outcome) for e in events} == {(EventType.JUDGE_ACT_DECIDE, Outcome.REFUSED)}
    assert [e.actor for e in events] == [who for who, _ in FORBIDDEN.values()]
    acts = {" ".join(arguments[:2]) for _, arguments in FORBIDDEN.values()}
    assert len({e.facts["act"] for e in events}) >= len(acts) - 3


PROOFS = {
    "unknown person": (["--as", "ghost", "--key", "{first}"], "unauthenticated", 1),
    "another's key": (["--as", "second", "--key", "{first}"], "unauthenticated", 1),
    "no key file": (["--as", "first", "--key", "{none}"], "KeyUnavailableError", 0),
    "public key": (["--as", "first", "--key", "{jwk}"], "KeyUnavailableError", 0),
}


@pytest.mark.parametrize("name", PROOFS)
def test_who_cannot_prove_who_they_are_is_refused(furnished, released, name):
    options, reason, entries = PROOFS[name]
    words = {
        "{first}": furnished.keys / "first.pem",
        "{none}": furnished.keys / "none.pem",
        "{jwk}": furnished.keys / "first.jwk",
    }
    before = len(furnished.entries())
    answer = furnished.run(
        "release", "show", released["release"], *[words.get(o, o) for o in options],
        "--key-passphrase-file", furnished.passphrase_file, "--json",
    )  # fmt: skip
    assert answer.code == 1
    assert answer.document["error"] == reason
    assert len(furnished.entries()) == before + entries


def test_wrong_passphrases_open_nothing(furnished, released):
    proof = ["--as", "first", "--key", furnished.keys / "first.pem"]
    wrong = ["--key-passphrase-file", furnished.keys / "wrong"]
    answer = furnished.run("release", "show", released["release"], *proof, *wrong, "--json")
    assert (answer.code, answer.document["error"]) == (1, "PassphraseError")


BAD_PEOPLE = {
    "king": ["--role", "king"],
    "china": ["--role", "operator", "--nationality", "china"],
    "ghosts": ["--role", "engineer", "--recipient", "ghosts"],
}


def test_second_person_needs_an_administrator(furnished):
    known = ["--public-key", furnished.keys / "first.jwk"]
    answer = furnished.run("person", "add", "x", *known, "--role", "operator", "--json")
    assert (answer.code, answer.document["error"]) == (1, "unauthenticated")
    for said, options in BAD_PEOPLE.items():
        answer = furnished.act("admin", "person", "add", "x", *known, *options)
        assert (answer.code, answer.document["error"]) == (1, "invalid_request")
        assert said in answer.document["detail"]


def test_key_is_never_overwritten(furnished):
    cli = furnished
    answer = cli.run("key", "new", cli.keys / "first.pem", "--key-passphrase-file", cli.passphrase_file)
    assert answer.code == 1
    assert (cli.keys / "first.pem").stat().st_mode & 0o777 == 0o600


@pytest.mark.usefixtures("released")
def test_denial_explains_rule_clause_and_fact(furnished, recording):
    """Law 10: a second release of one trip is denied, and the denial says by which rule."""
    answer = furnished.act("submitter", "release", "request", recording["recording"], "--purpose", "training",
                           "--recipient", "team")  # fmt: skip
    assert (answer.code, answer.document["error"]) == (1, "denied")
    violation = next(v for v in answer.document["violations"] if v["rule"] == "trip_once")
    assert violation["clause"]
    assert violation["text_zh"]
    assert violation["facts"]


def test_a_dossier_is_written_and_verified_without_the_gate(furnished, released, tmp_path):
    """Documents of one language, the twin and its proofs; whoever holds the two keys needs no gate."""
    out = tmp_path / "dossier"
    told = furnished.did("auditor", "release", "dossier", released["release"], "--out", out, "--lang", "zh")
    assert {"dossier.zh.html", "dossier.zh.pdf", "dossier.json", "dossier.jws", "receipt.json"} <= set(
        told["files"]
    )
    assert sorted(path.name for path in out.iterdir()) == told["files"]
    pinned = ["--release-key", furnished.run("release", "key").out.strip(), "--vkey", told["vkey"]]
    verified = furnished.run("audit", "verify-dossier", out, *pinned, "--json").document
    assert (verified["ok"], verified["release"]) == (True, released["release"])
    assert verified["absent"] == ["dossier.en.html", "dossier.en.pdf"]
    (out / "dossier.zh.html").write_text("another")
    assert furnished.run("audit", "verify-dossier", out, *pinned).code == 1


def test_reports_are_made_at_a_checkpoint_and_made_again(furnished, released, tmp_path):
    register = furnished.did("auditor", "report", "provisions", "--out", tmp_path / "register")
    assert [row["release"] for row in register["rows"]] == [released["release"]]
    note = tmp_path / "note"
    note.write_text(register["checkpoint"]["note"])
    again = furnished.did("officer", "report", "provisions", "--at", note)
    assert again == register
    rendered = {f"report.{edition}.{form}" for edition in ("zh", "en") for form in ("html", "pdf")}
    made = {path.name for path in (tmp_path / "register").iterdir()}
    assert made >= rendered | {"report.json", "report.csv", "report.jws", "receipt.json", "verify_report.py"}
    answers = tmp_path / "answers.yaml"
    answers.write_text("incidents: none\n")
    annual = furnished.did(
        "officer", "report", "annual", "--year", "2026", "--answers", answers, "--at", note
    )
    assert {n: v for row in annual["rows"] for n, v in row["answers"].items() if v} == {"incidents": "none"}
    for kind in ("counts", "deletions", "exports"):
        assert furnished.did("auditor", "report", kind)["report"] == kind
    proof = furnished.proof("engineer")
    assert furnished.run("report", "counts", *proof).code == 1
    answers.write_text("weather: fine\n")
    wrong = ["report", "annual", "--year", "2026", "--answers", answers, *furnished.proof("officer")]
    assert "unknown fields" in furnished.run(*wrong).err


@pytest.mark.usefixtures("fetched", "forbidden")
def test_erasing_ends_everything(furnished, recording, released):
    """Law 9. Runs last: it destroys the recording that the other tests share."""
    assert furnished.did("officer", "erase", recording["recording"])["erased"] is True
    status = furnished.did("officer", "status", recording["recording"])
    assert status["state"] == "erased"
    answer = furnished.act("second", "grant", "issue", released["release"], "--principal", "engineer")
    assert (answer.code, answer.document["error"]) == (1, "stage_order")
    assert furnished.run("audit", "verify", "--json").code == 0
