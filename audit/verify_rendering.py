"""Verifier of renderings (OCSF, ECS, CEF, CSV): this file, ``verify.py``, the standard library, ``cryptography``.

Usage: ``python -m audit.verify_rendering FILE --vkey VKEY [--checkpoint FILE] [--witness VKEY … --quorum N]``.
Exit status: 0 every entry is proved, 1 one is not, 2 the call was wrong.

1. The checkpoint (``FILE.checkpoint`` unless given) is checked as ``verify.py`` does, with its witnesses.
2. Each line carries an index, a leaf and an inclusion proof that leads from the leaf to the checkpoint's root.
3. Actor, object, type, outcome and time of the line are those of the leaf.
4. Indices rise.

A rendering does not prove that no entry is missing: for that, ask for a complete export. Parquet needs a reader
that the standard library lacks; its columns are those of CSV.
"""

import argparse
import csv
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TextIO

try:
    from audit import verify
except ImportError:  # copied elsewhere, beside verify.py
    import verify  # type: ignore[import-not-found, no-redef]

_CEF_PAIR = re.compile(r"(\w+)=((?:\\.|[^\\=])*?)(?= \w+=|$)")
_STATED = ("time", "type", "outcome", "actor", "object")


def verify_rendering(
    stream: TextIO, checkpoint: str, vkey: str, *, witnesses: Sequence[str] = (), quorum: int | None = None
) -> int:
    """Verify a rendering line by line, in constant memory.

    Args:
        stream: The rendering.
        checkpoint: The signed note that lies beside it.
        vkey: The ledger's verifier key.
        witnesses: Verifier keys of the witnesses that are trusted.
        quorum: How many of them must have cosigned; None for all.

    Returns:
        How many entries it holds, each proved.

    Raises:
        BadKeyError: if a key is malformed or the quorum is impossible.
        BadExportError: at the first line that is not proved.
    """
    size, root, _ = verify.open_checkpoint(checkpoint, vkey, witnesses=witnesses, quorum=quorum)  # 1.
    count, last = 0, -1
    for number, read in enumerate(_records(stream), 1):
        try:
            record = read()
            index = _integer(record["index"])
            leaf = verify.check_proved(index, record["leaf"], record["proof"], size, root)  # 2.
            for name in _STATED:  # 3.
                if leaf.get(name) != record[name]:
                    raise verify.BadExportError(
                        f"{name} differs from the leaf (got {record[name]!r}, expected {leaf.get(name)!r})"
                    )
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as exc:
            raise verify.BadExportError(f"line {number} lacks what proves it: {exc!r}") from exc
        except verify.BadExportError as exc:
            raise verify.BadExportError(f"line {number}: {exc.reason}", exc.index) from exc
        if index <= last:  # 4.
            raise verify.BadExportError(f"index out of order (got {index} after {last})", index)
        count, last = count + 1, index
    return count


def _records(stream: TextIO) -> Iterator[Callable[[], Mapping[str, Any]]]:
    first = stream.read(1)
    stream.seek(0)
    if first == "{":
        yield from (partial(_of_json, line) for line in stream)
    elif first == "<":
        yield from (partial(_of_cef, line.rstrip("\n")) for line in stream)
    elif first:
        yield from (partial(_of_csv, row) for row in csv.DictReader(stream, strict=True))


def _of_csv(row: Mapping[str, str]) -> Mapping[str, Any]:
    return {**row, "proof": row["proof"].split()}


def _of_json(line: str) -> Mapping[str, Any]:
    document = json.loads(line)
    if "unmapped" in document:
        stated = document["unmapped"]
        return {
            **{name: stated[name] for name in ("index", "leaf", "proof")},
            "time": document["metadata"]["original_time"],
            "type": document["api"]["operation"],
            "outcome": document["status_detail"],
            "actor": document["actor"]["user"]["uid"],
            "object": document["resources"][0]["uid"],
        }
    stated = document["fleetgate"]
    return {
        **{name: stated[name] for name in ("index", "leaf", "proof", "outcome", "object")},
        "time": document["@timestamp"],
        "type": document["event"]["action"],
        "actor": document["user"]["id"],
    }


def _of_cef(line: str) -> Mapping[str, Any]:
    syslog, _, _, _, signature, title, _, extension = re.split(r"(?<!\\)\|", line, maxsplit=7)
    pairs = {name: _unescaped(value) for name, value in _CEF_PAIR.findall(extension)}
    act, outcome = pairs["act"], pairs["outcome"]
    if (signature, title) != (act, f"{act.replace(':', ' ')} {outcome}"):
        raise ValueError(
            f"header says another act (got {signature!r} {title!r}, expected {act!r} {outcome!r})"
        )
    return {
        "index": pairs["externalId"],
        "leaf": pairs["fgLeaf"],
        "proof": pairs["fgProof"].split() if "fgProof" in pairs else [],
        "time": syslog.split(" ", 2)[1],
        "type": pairs["act"],
        "outcome": pairs["outcome"],
        "actor": pairs["suid"],
        "object": pairs["fileId"],
    }


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda match: {"n": "\n", "r": "\r"}.get(match[1], match[1]), text)


def _integer(value: object) -> int:
    if isinstance(value, str) and re.fullmatch(r"0|[1-9][0-9]*", value, re.ASCII):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError(f"index is no integer (got {value!r})")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="verify_rendering", description="Verify a rendering of a ledger.")
    parser.add_argument("file", type=Path, metavar="FILE", help="OCSF or ECS in JSON lines, CEF, or CSV")
    parser.add_argument("--vkey", required=True, help="verifier key, name+hash+base64")
    parser.add_argument("--checkpoint", type=Path, metavar="F", help="signed note (FILE.checkpoint)")
    parser.add_argument(
        "--witness", action="append", default=[], metavar="VKEY", help="verifier key of a witness; repeat"
    )
    parser.add_argument("--quorum", type=int, metavar="N", help="witnesses that must have cosigned (all)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    options = parser.parse_args(arguments)
    beside = options.checkpoint or options.file.with_name(f"{options.file.name}.checkpoint")
    try:
        note = beside.read_text(encoding="utf-8")
        with options.file.open(encoding="utf-8", newline="") as stream:
            count = verify_rendering(
                stream, note, options.vkey, witnesses=options.witness, quorum=options.quorum
            )
    except verify.BadExportError as exc:
        record: dict[str, Any] = {"ok": False, "index": exc.index, "reason": exc.reason}
        sys.stdout.write((json.dumps(record) if options.json else f"BAD {exc.reason}") + "\n")
        return 1
    except (verify.BadKeyError, OSError, UnicodeDecodeError, csv.Error) as exc:
        sys.stderr.write(f"verify_rendering: {exc}\n")
        return 2
    sys.stdout.write(
        (json.dumps({"ok": True, "count": count}) if options.json else f"OK {count} entries") + "\n"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
