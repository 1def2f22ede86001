"""Exports and the stand-alone verifier: any changed byte, lost line or foreign key shows (laws 2 and 9)."""

import ast
import base64
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from audit import verify
from audit.canonical import canonical_bytes
from audit.checkpoint import CheckpointSigner
from audit.errors import VerificationError
from audit.events import Event, Outcome
from audit.export import export_ledger, statement_text
from audit.ledger import Ledger
from audit.query import EntryFilter
from audit.tables import entries

MakeEvent = Callable[..., Event]


@pytest.fixture
def filled(ledger: Ledger, make_event: MakeEvent) -> Ledger:
    fill(ledger, make_event)
    return ledger


@pytest.fixture
def filled_sqlite(sqlite_ledger: Ledger, make_event: MakeEvent) -> Ledger:
    fill(sqlite_ledger, make_event)
    return sqlite_ledger


def fill(ledger: Ledger, make_event: MakeEvent) -> None:
    with ledger.intent(make_event(outcome=Outcome.INTENT, actor="a")) as intent:
        intent.complete()
    ledger.append(make_event(outcome=Outcome.INTENT, actor="b"))
    ledger.append(make_event(actor="b"), detail=b"secret", subject="s")
    ledger.append(make_event(outcome=Outcome.REFUSED, actor="c", rule="r-1"))


def exported(ledger: Ledger, wanted: EntryFilter | None = None) -> bytes:
    stream = io.BytesIO()
    export_ledger(ledger, stream, wanted=wanted)
    return stream.getvalue()


def check(data: bytes, vkey: str) -> verify.VerifiedExport:
    return verify.verify_export(io.BytesIO(data), vkey)


def test_a_complete_export_verifies_and_lists_open_intents(filled: Ledger) -> None:
    verified = check(exported(filled), filled.signer.vkey)
    assert (verified.size, verified.count, verified.complete) == (5, 5, True)
    assert [(item.index, item.finding) for item in verified.findings] == [
        (2, "intent serve:item:read never settled")
    ]
    assert verified.root == filled.verify().root.hex()


def test_a_filtered_export_verifies(filled: Ledger) -> None:
    verified = check(exported(filled, EntryFilter(actor="b")), filled.signer.vkey)
    assert (verified.size, verified.count, verified.complete) == (5, 2, False)
    assert verified.filter == {"actor": "b"}
    assert verified.findings == ()


def test_an_empty_ledger_exports(ledger: Ledger) -> None:
    verified = check(exported(ledger), ledger.signer.vkey)
    assert (verified.size, verified.count, verified.complete) == (0, 0, True)


def test_erased_detail_leaves_the_export_whole(filled: Ledger, sealer: object) -> None:
    """Law 9: the ledger keeps its proofs when a subject's key is destroyed, and never exports detail."""
    before = exported(filled)
    sealer.destroy("s")
    after = exported(filled)
    assert before == after
    assert b"secret" not in b"".join(
        base64.b64decode(json.loads(x)["leaf"]) for x in after.splitlines()[1:-1]
    )
    assert check(after, filled.signer.vkey).count == 5


@pytest.mark.parametrize("wanted", [None, EntryFilter(actor="b")], ids=["complete", "filtered"])
@pytest.mark.parametrize("mask", [0x01, 0x20])
def test_every_changed_byte_is_found(filled_sqlite: Ledger, wanted: EntryFilter | None, mask: int) -> None:
    data = exported(filled_sqlite, wanted)
    vkey = filled_sqlite.signer.vkey
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= mask
        with pytest.raises(verify.BadExportError):
            check(bytes(changed), vkey)


def test_every_truncation_is_found(filled_sqlite: Ledger) -> None:
    data = exported(filled_sqlite)
    for length in range(0, len(data), 7):
        with pytest.raises(verify.BadExportError):
            check(data[:length], filled_sqlite.signer.vkey)


@pytest.mark.parametrize("wanted", [None, EntryFilter(actor="b")], ids=["complete", "filtered"])
def test_every_lost_repeated_or_moved_line_is_found(
    filled_sqlite: Ledger, wanted: EntryFilter | None
) -> None:
    lines = exported(filled_sqlite, wanted).splitlines(keepends=True)
    for place in range(len(lines)):
        for changed in (
            [*lines[:place], *lines[place + 1 :]],
            [*lines[: place + 1], *lines[place:]],
            [*lines[:place], *lines[place + 1 :], lines[place]]
            if place < len(lines) - 1
            else [*lines, b"\n"],
        ):
            with pytest.raises(verify.BadExportError):
                check(b"".join(changed), filled_sqlite.signer.vkey)


def resealed(lines: list[bytes], count: int, signer: CheckpointSigner) -> bytes:
    """Close changed lines with a footer that ``signer`` really signs."""
    import hashlib  # noqa: PLC0415 - used here only

    digest = hashlib.sha256(b"".join(lines)).hexdigest()
    statement = signer.sign(statement_text(signer.origin, count, digest))
    return b"".join(
        [*lines, canonical_bytes({"count": count, "digest": digest, "statement": statement}) + b"\n"]
    )


def replaced(line: bytes, **changes: object) -> bytes:
    return canonical_bytes({**json.loads(line), **changes}) + b"\n"


def leaf_of(line: bytes, **changes: object) -> str:
    record = {**json.loads(base64.b64decode(json.loads(line)["leaf"])), **changes}
    return base64.b64encode(canonical_bytes(record)).decode()


FORGERIES = {
    "leaf": (
        lambda lines: [*lines[:4], replaced(lines[4], leaf=leaf_of(lines[4], actor="x")), *lines[5:]],
        3,
    ),
    "leaf index": (
        lambda lines: [*lines[:4], replaced(lines[4], leaf=leaf_of(lines[4], index=2)), *lines[5:]],
        3,
    ),
    "proof": (lambda lines: [*lines[:4], replaced(lines[4], proof=["00" * 32] * 3), *lines[5:]], 3),
    "proof too long": (lambda lines: [*lines[:4], replaced(lines[4], proof=["00" * 32] * 9), *lines[5:]], 3),
    "proof too short": (lambda lines: [*lines[:4], replaced(lines[4], proof=[]), *lines[5:]], 3),
    "proof no list": (lambda lines: [*lines[:4], replaced(lines[4], proof="00"), *lines[5:]], 3),
    "omitted entry": (lambda lines: [*lines[:4], *lines[5:]], None),
    "omitted last": (lambda lines: lines[:5], None),
    "repeated entry": (lambda lines: [*lines[:4], lines[3], *lines[4:]], None),
    "unknown version": (lambda lines: [replaced(lines[0], version=2), *lines[1:]], None),
    "version true": (lambda lines: [replaced(lines[0], version=True), *lines[1:]], None),
    "unknown field": (lambda lines: [replaced(lines[0], more=1), *lines[1:]], None),
    "no checkpoint": (lambda lines: [replaced(lines[0], checkpoint=None), *lines[1:]], None),
    "filter list": (lambda lines: [replaced(lines[0], filter=[]), *lines[1:]], None),
    "spaces": (lambda lines: [lines[0], lines[1].replace(b":", b": ", 1), *lines[2:]], None),
}


@pytest.mark.parametrize(("change", "index"), FORGERIES.values(), ids=FORGERIES)
def test_forgeries_with_a_valid_footer_are_found(
    filled_sqlite: Ledger, change: Callable[[list[bytes]], list[bytes]], index: int | None
) -> None:
    lines = change(exported(filled_sqlite).splitlines(keepends=True)[:-1])
    with pytest.raises(verify.BadExportError) as caught:
        check(resealed(lines, len(lines) - 1, filled_sqlite.signer), filled_sqlite.signer.vkey)
    assert caught.value.index == index


def test_an_export_signed_by_another_key_is_refused(filled_sqlite: Ledger) -> None:
    other = CheckpointSigner(b"o" * 32, filled_sqlite.signer.origin)
    with pytest.raises(verify.BadExportError, match="names another key"):
        check(exported(filled_sqlite), other.vkey)
    lines = exported(filled_sqlite).splitlines(keepends=True)[:-1]
    lines[0] = replaced(lines[0], vkey=other.vkey)
    with pytest.raises(verify.BadExportError, match="checkpoint is not signed by the given key"):
        check(resealed(lines, 5, other), other.vkey)


def test_a_bad_row_stops_the_export_without_footer(filled_sqlite: Ledger) -> None:
    filled_sqlite.checkpoint()
    with filled_sqlite._engine.begin() as connection:
        connection.execute(entries.update().where(entries.c.entry_index == 3).values(leaf=b"{}"))
    stream = io.BytesIO()
    with pytest.raises(VerificationError, match="entry 3"):
        export_ledger(filled_sqlite, stream)
    with pytest.raises(verify.BadExportError, match="truncated"):
        check(stream.getvalue(), filled_sqlite.signer.vkey)


def test_a_tree_of_many_tiers_exports(sqlite_ledger: Ledger, make_event: MakeEvent) -> None:
    for number in range(300):
        sqlite_ledger.append(make_event(object=f"item-{number}"))
    assert check(exported(sqlite_ledger), sqlite_ledger.signer.vkey).count == 300


BAD_LINES = {
    "empty": b"",
    "newline": b"\n",
    "binary": bytes(range(256)),
    "deep": b"[" * 200_000 + b"\n",
    "not object": b"1\n",
    "huge integer": b'{"a":' + b"9" * 5000 + b"}\n",
    "repeated name": b'{"a":1,"a":2}\n',
    "float": b'{"a":1.0}\n',
}


@pytest.mark.parametrize("data", BAD_LINES.values(), ids=BAD_LINES)
def test_garbage_is_refused(data: bytes, signer: CheckpointSigner) -> None:
    with pytest.raises(verify.BadExportError):
        check(data, signer.vkey)


class TestCommandLine:
    def run(self, program: list[str], *arguments: object, cwd: Path) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, *program, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)  # noqa: S603

    def test_works_as_a_single_copied_file(self, filled_sqlite: Ledger, tmp_path: Path) -> None:
        alone = tmp_path / "elsewhere"
        alone.mkdir()
        shutil.copy(verify.__file__, alone / "check.py")
        (alone / "export.jsonl").write_bytes(exported(filled_sqlite))
        (alone / "key").write_text(filled_sqlite.signer.vkey + "\n")
        done = self.run(["-I", "check.py"], "export.jsonl", "--key-file", "key", "--json", cwd=alone)
        assert (done.returncode, done.stderr) == (0, "")
        assert json.loads(done.stdout)["findings"] == [
            {"finding": "intent serve:item:read never settled", "index": 2}
        ]

    def test_exit_statuses(
        self, filled_sqlite: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        good, bad = tmp_path / "good", tmp_path / "bad"
        lines = exported(filled_sqlite).splitlines(keepends=True)
        good.write_bytes(b"".join(lines))
        bad.write_bytes(
            b"".join([*lines[:3], replaced(lines[3], leaf=leaf_of(lines[3], actor="x")), *lines[4:]])
        )
        vkey = filled_sqlite.signer.vkey
        assert verify.main([str(good), "--vkey", vkey]) == 0
        assert "OK 5 entries of 5 (complete)" in capsys.readouterr().out
        assert verify.main([str(bad), "--vkey", vkey]) == 1
        assert "BAD entry 2: inclusion proof leads elsewhere" in capsys.readouterr().out
        assert verify.main([str(bad), "--vkey", vkey, "--json"]) == 1
        assert json.loads(capsys.readouterr().out)["index"] == 2
        assert verify.main([str(tmp_path / "none"), "--vkey", vkey]) == 2
        assert verify.main([str(good), "--vkey", "nonsense"]) == 2
        with pytest.raises(SystemExit, match="2"):
            verify.main([str(good)])


def test_the_verifier_stands_alone() -> None:
    tree = ast.parse(Path(verify.__file__).read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "." for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in imported} <= sys.stdlib_module_names | {"cryptography"}
    package = Path(verify.__file__).with_name("__init__.py")
    assert not any(
        isinstance(node, ast.Import | ast.ImportFrom) for node in ast.walk(ast.parse(package.read_text()))
    )


@pytest.mark.parametrize("vkey", ["", "a+b", "a+00000000+AAAA", "a b+00000000+" + "A" * 44, "a+zz+é"])
def test_malformed_keys_are_refused(vkey: str) -> None:
    with pytest.raises(verify.BadKeyError):
        verify.parse_vkey(vkey)
