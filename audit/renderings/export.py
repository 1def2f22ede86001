"""Writes the ledger, or what of it matches, in a form that another system reads; in constant memory.

Beside the file lies ``FILE.checkpoint``: the signed note that the proofs in it lead to. What columns and fields
say is a rendering; what the proof speaks of is the leaf beside them.
"""

import csv
import io
import json
from collections.abc import Callable, Iterator
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Any

from audit.checkpoint import verify_checkpoint
from audit.ledger import Ledger
from audit.query import EntryFilter, find_all
from audit.renderings.cef import cef_line
from audit.renderings.ecs import ecs_document
from audit.renderings.ocsf import ocsf_event
from audit.renderings.proved import COLUMNS, Proved, columns
from audit.snapshot import Snapshot

_BATCH = 4096


class Rendering(StrEnum):
    """The forms: OCSF and ECS as JSON lines, CEF in syslog lines, CSV (RFC 4180), Parquet."""

    OCSF = "ocsf"
    ECS = "ecs"
    CEF = "cef"
    CSV = "csv"
    PARQUET = "parquet"


def render_ledger(
    ledger: Ledger, path: Path, rendering: Rendering, *, note: str, wanted: EntryFilter | None = None
) -> int:
    """Write a file that is not there yet, and its checkpoint beside it.

    Args:
        ledger: What to render.
        path: The file.
        rendering: Its form.
        note: The checkpoint to render up to, cosigned or not.
        wanted: Filter; None renders every entry.

    Returns:
        How many entries it holds.

    Raises:
        FileExistsError: It, or its checkpoint, is there.
        SignatureError: ``note`` is no checkpoint of this ledger.
        VerificationError: A stored leaf does not verify; the file lacks its checkpoint then.
    """
    size = verify_checkpoint(note, ledger.signer.vkey).size
    beside = path.with_name(f"{path.name}.checkpoint")
    if beside.exists():
        raise FileExistsError(17, "File exists", str(beside))
    count = 0
    with ledger.snapshot() as snapshot:

        def counted() -> Iterator[Proved]:
            nonlocal count
            for proved in _proved(snapshot, size, ledger.signer.origin, wanted):
                count += 1
                yield proved

        if rendering is Rendering.PARQUET:
            _write_parquet(path, counted())
        else:
            with path.open("x", encoding="utf-8", newline="") as stream:
                for line in _LINES[rendering](counted()):
                    stream.write(line)
    with beside.open("x", encoding="utf-8") as stream:
        stream.write(note)
    return count


def _proved(snapshot: Snapshot, size: int, origin: str, wanted: EntryFilter | None) -> Iterator[Proved]:
    found = snapshot.entries(0, size) if wanted is None else find_all(snapshot, wanted, below=size)
    for entry in found:
        proof = tuple(snapshot.inclusion_proof(entry.index, size))
        yield Proved(entry=entry, proof=proof, size=size, origin=origin)


def _json_lines(render: Callable[[Proved], dict[str, Any]]) -> Callable[[Iterator[Proved]], Iterator[str]]:
    def lines(found: Iterator[Proved]) -> Iterator[str]:
        for proved in found:
            yield json.dumps(render(proved), ensure_ascii=True, separators=(",", ":")) + "\n"

    return lines


def _cef_lines(found: Iterator[Proved]) -> Iterator[str]:
    for proved in found:
        yield cef_line(proved) + "\n"


def _csv_lines(found: Iterator[Proved]) -> Iterator[str]:
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, fieldnames=COLUMNS, quoting=csv.QUOTE_ALL)
    writer.writeheader()
    yield buffer.getvalue()
    for proved in found:
        buffer.seek(0)
        buffer.truncate()
        writer.writerow({name: "" if value is None else value for name, value in columns(proved).items()})
        yield buffer.getvalue()


_LINES: dict[Rendering, Callable[[Iterator[Proved]], Iterator[str]]] = {
    Rendering.OCSF: _json_lines(ocsf_event),
    Rendering.ECS: _json_lines(ecs_document),
    Rendering.CEF: _cef_lines,
    Rendering.CSV: _csv_lines,
}


def _write_parquet(path: Path, found: Iterator[Proved]) -> None:
    # Loading polars takes a second that no other command should wait for.
    import polars as pl  # noqa: PLC0415
    from polars.io.plugins import register_io_source  # noqa: PLC0415

    integers = {"index", "intent", "tree_size"}
    schema = {name: pl.Int64() if name in integers else pl.String() for name in COLUMNS}

    def batches(
        _columns: list[str] | None, _predicate: pl.Expr | None, _rows: int | None, _size: int | None
    ) -> Iterator[pl.DataFrame]:
        while rows := [columns(proved) for proved in islice(found, _BATCH)]:
            yield pl.DataFrame(rows, schema=schema)

    with path.open("xb") as stream:
        register_io_source(batches, schema=schema).sink_parquet(stream, compression="zstd")
