"""The tables of reports, and their rows as CSV."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from gateway.dossier.document import Block, Column, Style, Table, Text, rows_of
from gateway.dossier.setting import facts, number, when
from gateway.dossier.words import Words

_NUMBER: Final = Style.NUMBER


def provisions_blocks(twin: Mapping[str, Any], words: Words) -> tuple[Block, ...]:
    """Two tables: to whom and for what, and what and how much."""
    rows = twin["rows"]
    parties = Table(
        caption=words("r.provisions"),
        columns=(
            Column(heading=words("released_at"), width=3),
            Column(heading=words("release"), style=Style.CODE, width=4),
            Column(heading=words("recipient"), width=3),
            Column(heading=words("contract"), width=2),
            Column(heading=words("purpose"), width=3),
            Column(heading=words("assessment"), width=2),
            Column(heading=words("expires_at"), width=3),
            Column(heading=words("revoked"), width=2),
        ),
        rows=rows_of(
            [
                (
                    when(r["released_at"]),
                    r["release"],
                    f"{r['recipient']} ({r['country'] or '–'})",
                    r["contract"],
                    r["purpose"],
                    r["assessment"],
                    when(r["expires_at"]),
                    when(r["revoked_at"]),
                )
                for r in rows
            ]
        ),
        empty=words("r.none"),
    )
    extent = Table(
        caption=words("s.items"),
        columns=(
            Column(heading=words("release"), style=Style.CODE, width=4),
            Column(heading=words("r.classes"), width=4),
            Column(heading=words("level"), width=3),
            Column(heading=words("items"), style=_NUMBER, width=2),
            Column(heading=words("bytes"), style=_NUMBER, width=3),
            Column(heading=words("r.subjects"), style=_NUMBER, width=2),
            Column(heading=words("r.area"), style=_NUMBER, width=2),
            Column(heading=words("r.approvals"), style=_NUMBER, width=2),
            Column(heading=words("r.read"), style=_NUMBER, width=3),
        ),
        rows=rows_of(
            [
                (
                    r["release"],
                    ", ".join(f"{words.code(name)}: {count}" for name, count in r["classes"].items()),
                    words.code(r["level"]),
                    number(r["items"]),
                    number(r["bytes"]),
                    number(r["subjects"]),
                    number(r["area_km2"]),
                    number(r["approvals"]),
                    number(r["bytes_read"]),
                )
                for r in rows
            ]
        ),
        empty=words("r.none"),
    )
    kept = Text(text=words("r.kept", **twin["kept"]))
    return (parties, extent, kept, Text(text=words("r.detections_note"))) if rows else (parties, kept)


def counts_blocks(twin: Mapping[str, Any], words: Words) -> tuple[Block, ...]:
    """What each recipient holds, the total, and the thresholds with their sources."""
    thresholds = [
        Text(text=words("r.threshold", name=name, **told)) for name, told in twin["thresholds"].items()
    ]
    return (
        Table(
            caption=words("r.counts"),
            columns=(
                Column(heading=words("recipient"), width=3),
                Column(heading=words("r.releases"), style=_NUMBER),
                Column(heading=words("items"), style=_NUMBER),
                Column(heading=words("r.important_items"), style=_NUMBER),
                Column(heading=words("r.area"), style=_NUMBER),
                Column(heading=words("r.subjects"), style=_NUMBER),
                Column(heading=words("r.important_data")),
            ),
            rows=rows_of(
                [
                    (
                        r["recipient"],
                        number(r["releases"]),
                        number(r["items"]),
                        number(r["important_items"]),
                        None if r["area_m2"] is None else f"{r['area_m2'] / 1e6:.3f}",
                        number(r["subjects"]),
                        words("yes") if r["important_data"] else words("no"),
                    )
                    for r in twin["rows"]
                ]
            ),
            empty=words("r.none"),
        ),
        facts(
            words,
            "r.scope",
            (
                ("r.total_subjects", number(twin["total_subjects"])),
                ("r.large_handler", words("yes") if twin["large_handler"] else words("no")),
            ),
        ),
        *thresholds,
        Text(text=words("r.detections_note")),
    )


def deletions_blocks(twin: Mapping[str, Any], words: Words) -> tuple[Block, ...]:
    """Every deletion with key and certificate."""
    return (
        Table(
            caption=words("r.deletions"),
            columns=(
                Column(heading=words("entry"), style=_NUMBER, width=2),
                Column(heading=words("time"), width=4),
                Column(heading=words("act"), width=4),
                Column(heading=words("actor"), width=3),
                Column(heading=words("r.object"), style=Style.CODE, width=5),
                Column(heading=words("r.fingerprint"), style=Style.CODE, width=5),
                Column(heading=words("r.certificate"), style=Style.CODE, width=5),
            ),
            rows=rows_of(
                [
                    (
                        r["entry"],
                        when(r["time"]),
                        r["type"],
                        r["actor"],
                        r["object"],
                        r["fingerprint"],
                        r["certificate"],
                    )
                    for r in twin["rows"]
                ]
            ),
            empty=words("r.none"),
        ),
        Text(text=words("r.deletions_note")),
    )


def exports_blocks(twin: Mapping[str, Any], words: Words) -> tuple[Block, ...]:
    """Every attempt that a rule against exports refused."""
    return (
        Table(
            caption=words("r.exports"),
            columns=(
                Column(heading=words("entry"), style=_NUMBER, width=2),
                Column(heading=words("time"), width=4),
                Column(heading=words("act"), width=4),
                Column(heading=words("actor"), width=3),
                Column(heading=words("r.object"), style=Style.CODE, width=5),
                Column(heading=words("recipient"), width=3),
                Column(heading=words("r.rules"), width=4),
            ),
            rows=rows_of(
                [
                    (
                        r["entry"],
                        when(r["time"]),
                        r["type"],
                        r["actor"],
                        r["object"],
                        r["recipient"],
                        ", ".join(r["all_rules"]),
                    )
                    for r in twin["rows"]
                ]
            ),
            empty=words("r.none"),
        ),
        Text(text=words("r.exports_note", rules=", ".join(twin["against"]))),
    )


def roster_blocks(twin: Mapping[str, Any], words: Words) -> tuple[Block, ...]:
    """Everybody enrolled, with roles, nationality and entity."""
    return (
        Table(
            caption=words("r.roster_caption", of=when(twin["of"])),
            columns=(
                Column(heading=words("r.person"), width=3),
                Column(heading=words("r.roles"), width=4),
                Column(heading=words("r.nationality"), width=2),
                Column(heading=words("r.entity"), width=2),
                Column(heading=words("recipient"), width=3),
                Column(heading=words("r.since"), width=4),
                Column(heading=words("r.suspended"), width=2),
                Column(heading=words("reason"), width=4),
                Column(heading=words("entry"), style=_NUMBER, width=2),
            ),
            rows=rows_of(
                [
                    (
                        r["person"],
                        ", ".join(r["roles"]),
                        r["nationality"],
                        r["entity_country"],
                        r["organisation"],
                        when(r["since"]),
                        words("yes") if r["suspended"] else words("no"),
                        r["reason"],
                        r["entry"],
                    )
                    for r in twin["rows"]
                ]
            ),
            empty=words("r.none"),
        ),
    )


def csv_of(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Rows as CSV (RFC 4180, UTF-8), one column for each member; lists and mappings as JSON."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    names = list(rows[0]) if rows else []
    writer.writerow(names)
    writer.writerows([_cell(row[name]) for name in names] for row in rows)
    return out.getvalue().encode()


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, sort_keys=True)
    text = str(value)
    # A spreadsheet would run what begins so; ids of persons and objects come from outside.
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text
