"""The certificate of destruction by the command: issued, written, given again, and verified by two public keys."""

from pathlib import Path

from gateway.commands.session import EXIT_REFUSED, EXIT_USAGE
from simulators import UNIT


def test_an_erasure_is_certified_once_and_for_good(quick, disk: Path, tmp_path: Path):
    recording = quick.did(
        "officer", "ingest", disk, "--carrier", "disk-1", "--unit", UNIT, "--region", "110108"
    )["recording"]
    taken = tmp_path / "taken.jws"
    taken.write_text("here")
    assert quick.act("officer", "erase", recording, "--out", taken).code == EXIT_USAGE
    assert quick.did("officer", "status", recording)["state"] != "erased"

    out = tmp_path / "destruction.jws"
    erased = quick.did("officer", "erase", recording, "--out", out)
    assert out.read_text() == erased["certificate"]
    release_key = quick.run("release", "key").out.strip()
    pinned = ["--release-key", release_key, "--vkey", quick.run("audit", "key").out.strip()]
    exported = tmp_path / "ledger.jsonl"
    quick.did("auditor", "audit", "export", exported)
    verify = ["audit", "verify-destruction", out, *pinned]
    verified = quick.run(*verify, "--ledger", exported, "--json").document
    said = verified["says"]
    assert said == erased["says"]
    assert verified["ledger"]["complete"]
    assert quick.run(*verify, "--ledger", tmp_path / "none").code == EXIT_USAGE
    assert quick.run(*verify, "--ledger", out).code == EXIT_REFUSED
    assert said["recording"] == recording
    entry = quick.entries()[said["ledger"]["index"]]
    assert entry.event.type.value == "erase:recording:erase"
    assert entry.event.digests["fingerprint"] == said["kek"]["fingerprint"]

    assert quick.did("officer", "erase", recording)["certificate"] == erased["certificate"]
    spoken = quick.run("erase", recording, *quick.proof("officer")).out
    assert said["text"]["zh"] in spoken
    assert said["text"]["en"] in spoken


def test_records_in_their_term_are_listed_and_not_destroyed(quick, tmp_path: Path):
    assert quick.did("auditor", "retention", "due") == {"keys": []}
    assert quick.entries()[-1].event.object == "retention"
    out = tmp_path / "none.jws"
    refused = quick.act("officer", "retention", "destroy", "gate", "--out", out)
    assert (refused.code, refused.document["error"]) == (EXIT_REFUSED, "invalid_request")
    assert quick.act("auditor", "retention", "destroy", "sub-x").code == EXIT_REFUSED
    assert quick.act("officer", "retention", "destroy", "sub-x").document["error"] == "KeyUnavailableError"
    assert not out.exists()
