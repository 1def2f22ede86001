"""Verifier of a report that the law asks for: this file, three more of its folder, and ``cryptography``.

Usage: ``python -m audit.verify_report FOLDER --release-key KEY --vkey VKEY``, with ``--witness VKEY`` for each
witness that is trusted and ``--quorum N`` for how many of them are needed (all). Keys are text or files.
Exit status: 0 the report verifies, 1 it does not, 2 the call was wrong.

1. ``report.jws`` is signed by the release key.
2. Every file that it names and that lies here has the digest that was signed; ``report.json`` lies here.
3. The twin is the report, at the checkpoint, that was signed.
4. The twin's checkpoint is checked as ``verify.py`` does, with its witnesses.
5. Each of its entries is proved to be in the tree.
6. Each row that cites an entry cites a proved one, and what both state is the same.
7. ``receipt.json`` proves that the ledger records the making of this very twin.

That nothing was left out is not proved by a report: hold it against an export or an archive (``verify.py``).
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

try:
    from audit import verify
    from audit.verify_folder import public_of, read, receipt_entry, signed_files, statement_of, text_of
except ImportError:  # copied elsewhere, beside verify.py
    import verify  # type: ignore[import-not-found, no-redef]
    from verify_folder import (  # type: ignore[import-not-found, no-redef]
        public_of,
        read,
        receipt_entry,
        signed_files,
        statement_of,
        text_of,
    )

STATEMENT = "fleetgate-report+jwt"
TWIN = "report.json"
_ALIKE = ("time", "type", "actor", "object", "recipient", "purpose")


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedReport:
    """A report whose every step verified.

    Attributes:
        report: Its kind.
        as_of: The moment that it speaks of.
        files: Files that lie here and have the digests that were signed.
        absent: Files that were signed and do not lie here.
        entries: Entries that are proved.
        rows: Rows that were held against the entry that they cite.
    """

    report: str
    as_of: str
    files: tuple[str, ...]
    absent: tuple[str, ...]
    entries: int
    rows: int


def verify_report(
    folder: Path,
    release_key: str,
    vkey: str,
    *,
    witnesses: Sequence[str] = (),
    quorum: int | None = None,
) -> VerifiedReport:
    """Verify the report in a folder; the steps are those of this module.

    Args:
        folder: Where its files lie.
        release_key: The operator's release key as JWK (``fleetgate release key``), got by another way.
        vkey: The ledger's verifier key (``fleetgate audit key``), got by another way.
        witnesses: Verifier keys of the witnesses that are trusted.
        quorum: How many of them must have cosigned; None for all.

    Raises:
        BadKeyError: if a key is malformed or the quorum is impossible.
        BadExportError: at the first step that fails.
    """
    public = public_of(release_key)
    try:
        said = statement_of(read(folder, "report.jws").decode("ascii", "replace"), STATEMENT, public)  # 1.
        present, absent = signed_files(folder, said["files"], twin=TWIN)  # 2.
        content = read(folder, TWIN)
        twin = json.loads(content)
        checkpoint = twin["checkpoint"]
        found = (twin["report"], checkpoint["size"], checkpoint["as_of"])
        if found != (said["report"], said["size"], said["as_of"]):  # 3.
            raise verify.BadExportError(f"{TWIN} is of another report (got {found})")
        size, root, _ = verify.open_checkpoint(
            checkpoint["note"], vkey, witnesses=witnesses, quorum=quorum
        )  # 4.
        if size != checkpoint["size"]:
            raise verify.BadExportError(f"checkpoint has another size (got {size})")
        proved = {
            each["index"]: verify.check_proved(each["index"], each["leaf"], each["proof"], size, root)
            for each in twin["ledger"]
        }  # 5.
        rows = [_row(row, proved) for row in _citing(twin)]  # 6.
        _made(receipt_entry(folder, vkey, witnesses, quorum), twin, content)  # 7.
    except verify.BadKeyError:
        raise
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as exc:
        raise verify.BadExportError(f"the report lacks what proves it: {exc!r}") from exc
    return VerifiedReport(
        report=twin["report"],
        as_of=said["as_of"],
        files=present,
        absent=absent,
        entries=len(proved),
        rows=len(rows),
    )


def _citing(node: Any) -> Iterator[Mapping[str, Any]]:
    """Every row that cites an entry, wherever it stands; the annual report holds the others."""
    if isinstance(node, dict):
        if "entry" in node:
            yield node
        node = [value for name, value in node.items() if name != "ledger"]
    if isinstance(node, list):
        for each in node:
            yield from _citing(each)


def _row(row: Mapping[str, Any], proved: Mapping[int, Mapping[str, Any]]) -> int:
    index = row["entry"]
    entry = proved.get(index)
    if entry is None:
        raise verify.BadExportError(f"a row cites entry {index!r}, which is not proved")
    told = {name: row[name] for name in _ALIKE if name in row}
    found = {name: entry.get(name) for name in told}
    if "released_at" in row:
        told, found = told | {"time": row["released_at"]}, found | {"time": entry["time"]}
    if row.get("release") is not None:
        told["release"] = row["release"]
        found["release"] = entry.get("release", entry["object"])
    if told != found:
        raise verify.BadExportError(
            f"a row says otherwise than its entry (got {told}, expected {found})", index
        )
    return int(index)


def _made(entry: Mapping[str, Any], twin: Mapping[str, Any], content: bytes) -> None:
    stated = (entry["type"], entry["outcome"], entry["object"], entry.get("digests", {}).get("report"))
    digest = hashlib.sha256(content).hexdigest()
    if stated != ("report:ledger:make", "completed", twin["report"], digest):
        raise verify.BadExportError(f"the receipt's entry does not record this report (got {stated})")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = _parser().parse_args(arguments)
    return run(
        options.folder,
        options.release_key,
        options.vkey,
        witnesses=options.witness,
        quorum=options.quorum,
        as_json=options.json,
    )


def run(
    folder: Path,
    release_key: str,
    vkey: str,
    *,
    witnesses: Sequence[str] = (),
    quorum: int | None = None,
    as_json: bool = False,
) -> int:
    """Verify a folder and print the result; return the exit status.

    Args:
        folder: Where the files of the report lie.
        release_key: The key, or a file that holds it.
        vkey: The ledger's verifier key, or a file that holds it.
        witnesses: See :func:`verify_report`.
        quorum: See :func:`verify_report`.
        as_json: Print one JSON document.
    """
    try:
        found = verify_report(folder, text_of(release_key), text_of(vkey), witnesses=witnesses, quorum=quorum)
    except verify.BadExportError as exc:
        record: dict[str, Any] = {"ok": False, "index": exc.index, "reason": exc.reason}
        text = f"BAD 报告未通过验证 / the report does not verify: {exc.reason}"
        sys.stdout.write((json.dumps(record, ensure_ascii=False) if as_json else text) + "\n")
        return 1
    except (verify.BadKeyError, OSError, UnicodeDecodeError) as exc:
        sys.stderr.write(f"verify_report: {exc}\n")
        return 2
    record = {"ok": True, **{name: getattr(found, name) for name in VerifiedReport.__slots__}}
    sys.stdout.write((json.dumps(record, sort_keys=True) if as_json else _told(found)) + "\n")
    return 0


def _told(found: VerifiedReport) -> str:
    lines = [
        f"OK 报告通过验证 / the report verifies: {found.report}, as of {found.as_of}",
        f"{len(found.files)} files, {found.entries} entries of the ledger, {found.rows} rows that cite one",
        "NOTE 是否遗漏须与账本导出核对 / that nothing was left out is for an export of the ledger to show",
    ]
    if found.absent:
        lines.append(f"NOTE signed and not here: {', '.join(found.absent)}")
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="verify_report", description="Verify a report, offline.")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where its files lie")
    parser.add_argument(
        "--release-key", required=True, metavar="KEY", help="the gate's release key, or a file"
    )
    parser.add_argument("--vkey", required=True, help="verifier key of the ledger, or a file")
    parser.add_argument(
        "--witness", action="append", default=[], metavar="VKEY", help="verifier key of a witness; repeat"
    )
    parser.add_argument("--quorum", type=int, metavar="N", help="witnesses that must have cosigned (all)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
