"""What a dossier says of the paper between the parties: contract, supervision, assessments."""

from collections.abc import Mapping
from typing import Any

from gateway.dossier.document import Column, Section, Style, Table, rows_of
from gateway.dossier.setting import when
from gateway.dossier.words import Words


def oversight_section(twin: Mapping[str, Any], words: Words) -> Section:
    """Contracts with the recipient, inspections of it, and assessments of the purpose, as they stood then."""
    oversight = twin["oversight"]
    return Section(
        heading=words("s.oversight"),
        blocks=(
            Table(
                caption=words("contracts_caption"),
                columns=(
                    Column(heading=words("contract"), width=3),
                    Column(heading=words("purposes"), width=4),
                    Column(heading=words("licence_from"), width=4),
                    Column(heading=words("licence_to"), width=4),
                    *_evidence_columns(words),
                ),
                rows=rows_of(
                    [
                        (
                            c["number"],
                            ", ".join(c["purposes"]),
                            when(c["valid_from"]),
                            when(c["valid_to"]),
                            c["document"],
                            c["entry"],
                        )
                        for c in oversight["contracts"]
                    ]
                ),
                empty=words("contracts_none"),
            ),
            Table(
                caption=words("inspections_caption"),
                columns=(
                    Column(heading=words("inspected_at"), width=4),
                    Column(heading=words("inspector"), width=3),
                    Column(heading=words("finding"), width=5),
                    Column(heading=words("finding_closed"), width=2),
                    *_evidence_columns(words),
                ),
                rows=rows_of(
                    [
                        (
                            when(i["inspected_at"]),
                            i["inspector"],
                            i["finding"] or words("none"),
                            words("no") if i["open"] else words("yes"),
                            i["document"],
                            i["entry"],
                        )
                        for i in oversight["inspections"]
                    ]
                ),
                empty=words("inspections_none"),
            ),
            _assessments_table(oversight, words),
        ),
    )


def _assessments_table(oversight: Mapping[str, Any], words: Words) -> Table:
    return Table(
        caption=words("assessments_caption"),
        columns=(
            Column(heading=words("assessment_kind"), width=3),
            Column(heading=words("assessment"), width=3),
            Column(heading=words("licence_to"), width=4),
            Column(heading=words("assessed_classes"), width=5),
            Column(heading=words("assessed_levels"), width=5),
            *_evidence_columns(words),
        ),
        rows=rows_of(
            [
                (
                    words(f"assessment.{a['kind']}"),
                    a["reference"],
                    when(a["valid_until"]),
                    ", ".join(a["classes"]),
                    ", ".join(a["levels"]),
                    a["document"],
                    a["entry"],
                )
                for a in oversight["assessments"]
            ]
        ),
        empty=words("assessments_none"),
    )


def _evidence_columns(words: Words) -> tuple[Column, Column]:
    return (
        Column(heading=words("licence_document"), style=Style.CODE, width=5),
        Column(heading=words("entry"), style=Style.NUMBER, width=2),
    )
