"""The annual report as sections: for each item of the form what the gate knows, then what was answered."""

from collections.abc import Callable, Mapping
from typing import Any

from gateway.dossier.document import Block, Column, Language, Section, Style, Table, Text, rows_of
from gateway.dossier.setting import facts, number
from gateway.dossier.words import Words
from gateway.reports.annual import form
from gateway.reports.tables import counts_blocks, deletions_blocks, exports_blocks, provisions_blocks


def annual_sections(twin: Mapping[str, Any], words: Words) -> tuple[Section, ...]:
    """One section for each item of the form."""
    known: Mapping[str, Callable[[Mapping[str, Any], Words], tuple[Block, ...]]] = {
        "data": _data,
        "protection": _protection,
        "provisions": _provisions,
        "incidents": _refusals,
        "abroad": _abroad,
    }
    items = {item["key"]: item for item in form()["items"]}
    sections = []
    for row in twin["rows"]:
        item = items[row["key"]]
        sections.append(
            Section(
                heading=item[words.language.value],
                blocks=(
                    Text(text=f"{words('r.clause')}: {row['clause']}"),
                    *(known[row["key"]](twin, words) if row["key"] in known else ()),
                    *_answers(row, words),
                ),
            )
        )
    told = twin["form"]
    clause = told["clause_zh" if words.language is Language.ZH else "clause_en"]
    note = Text(text=words("r.form_note", clause=clause, confidence=told["confidence"]), note=True)
    return (Section(heading=words("r.scope"), blocks=(note,)), *sections)


def _answers(row: Mapping[str, Any], words: Words) -> tuple[Block, ...]:
    if not row["answers"]:
        return ()
    return (
        Table(
            caption=words("r.answers"),
            columns=(Column(heading=words("r.field"), width=1), Column(heading=words("r.answer"), width=3)),
            rows=rows_of(
                [
                    (words(f"r.field.{name}"), answer or words("r.to_fill"))
                    for name, answer in row["answers"].items()
                ]
            ),
            empty=words("none"),
        ),
    )


def _data(twin: Mapping[str, Any], words: Words) -> tuple[Block, ...]:
    received = twin["received"]
    return (
        facts(
            words,
            "r.received",
            (
                ("r.recordings", number(received["recordings"])),
                ("items", number(received["items"])),
                ("r.vehicles", number(received["vehicles"])),
            ),
        ),
        *counts_blocks(twin["counts"], words),
    )


def _protection(twin: Mapping[str, Any], words: Words) -> tuple[Block, ...]:
    measures = twin["measures"]
    terms = [(f"r.retention.{name}", told["value"]) for name, told in twin["retention"].items()]
    return (
        facts(
            words,
            "r.measures",
            (
                ("r.suite", measures["suite"]),
                ("profile", measures["profile"]),
                ("engine", measures["engine"]),
                ("witnesses", number(measures["witnesses"])),
                *terms,
            ),
            (("bundle", measures["bundle"]),),
        ),
        *deletions_blocks(twin["deletions"], words),
    )


def _provisions(twin: Mapping[str, Any], words: Words) -> tuple[Block, ...]:
    rows = twin["provisions"]["rows"]
    said = words(
        "r.provided",
        releases=number(len(rows)),
        items=number(sum(r["items"] for r in rows)),
        recipients=number(len({r["recipient"] for r in rows})),
    )
    return (Text(text=said), *provisions_blocks(twin["provisions"], words))


def _refusals(twin: Mapping[str, Any], words: Words) -> tuple[Block, ...]:
    return (
        Table(
            caption=words("r.refused"),
            columns=(
                Column(heading=words("act"), width=3),
                Column(heading=words("count"), style=Style.NUMBER, width=1),
            ),
            rows=rows_of([(act, number(count)) for act, count in twin["refused"].items()]),
            empty=words("r.none"),
        ),
    )


def _abroad(twin: Mapping[str, Any], words: Words) -> tuple[Block, ...]:
    count = Text(text=words("r.exports_count", count=number(len(twin["exports"]["rows"]))))
    return (count, *exports_blocks(twin["exports"], words))
