"""What a dossier says of people and paper: licence, decision, signatures, grants, lineage, proofs."""

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from gateway.dossier.document import Column, Section, Style, Table, Text, rows_of
from gateway.dossier.setting import facts, number, when
from gateway.dossier.words import Words
from gateway.vault.jws import thumbprint


def licence_section(twin: Mapping[str, Any], words: Words) -> Section:
    """The surveying certificate under which the release went out."""
    licence = twin["licence"]
    if licence is None:
        return Section(heading=words("s.licence"), blocks=(Text(text=words("licence_none"), note=True),))
    entry = words("not_attested") if licence["entry"] is None else licence["entry"]
    full = "delegations" in licence
    return Section(
        heading=words("s.licence"),
        blocks=(
            facts(
                words,
                "s.licence",
                (
                    ("licence", licence["number"]),
                    ("licence_grade", words(f"grade.{licence['grade'] or 'none'}")),
                    ("licence_holder", licence["holder"] or words("none")),
                    *((("licence_units", ", ".join(licence["units"]) or words("none")),) if full else ()),
                    ("licence_kinds", ", ".join(licence["kinds"])),
                    ("licence_regions", ", ".join(licence["regions"])),
                    ("licence_from", when(licence["valid_from"])),
                    ("licence_to", when(licence["valid_to"])),
                    ("licence_verified", words("no") if licence["unverified"] else words("yes")),
                    ("licence_entry", entry),
                ),
                (("licence_document", licence["document_digest"]),),
            ),
            Table(
                caption=words("interruptions_caption"),
                columns=(
                    Column(heading=words("interruption")),
                    Column(heading=words("licence_from"), width=2),
                    Column(heading=words("licence_to"), width=2),
                ),
                rows=rows_of(
                    [
                        (words(f"interruption.{i['kind']}"), when(i["from"]), when(i["to"]))
                        for i in licence["interruptions"]
                    ]
                ),
                empty=words("interruptions_none"),
            ),
            *((_delegations_table(licence, words),) if full else ()),
        ),
    )


def _delegations_table(licence: Mapping[str, Any], words: Words) -> Table:
    return Table(
        caption=words("delegations_caption"),
        columns=(
            Column(heading=words("delegation"), width=3),
            Column(heading=words("delegator"), width=3),
            Column(heading=words("delegated_sources"), width=3),
            Column(heading=words("licence_regions"), width=2),
            Column(heading=words("licence_to"), width=4),
            Column(heading=words("licence_document"), style=Style.CODE, width=6),
            Column(heading=words("entry"), style=Style.NUMBER, width=2),
        ),
        rows=rows_of(
            [
                (
                    d["id"],
                    d["delegator"],
                    ", ".join(d["vehicles"]),
                    ", ".join(d["regions"]),
                    when(d["valid_to"]),
                    d["document_digest"],
                    d["entry"],
                )
                for d in licence["delegations"]
            ]
        ),
        empty=words("delegations_none"),
    )


def slopes_section(twin: Mapping[str, Any], words: Words) -> Section:
    """The review of slopes and curvatures (rule 15)."""
    review = twin["slope_review"]
    return Section(
        heading=words("s.slopes"),
        blocks=(
            facts(words, "s.slopes", (("slopes_standing", words(f"standing.{review['standing']}")),)),
            Table(
                caption=words("slopes_caption"),
                columns=(
                    Column(heading=words("reviewer")),
                    Column(heading=words("verdict")),
                    Column(heading=words("signed_at")),
                    Column(heading=words("reason"), width=4),
                ),
                rows=rows_of(
                    [
                        (d["reviewer"], d["verdict"], when(d["signed_at"]), d["reason"])
                        for d in review["decisions"]
                    ]
                ),
                empty=words("slopes_none"),
            ),
        ),
    )


def decision_section(twin: Mapping[str, Any], words: Words) -> Section:
    """The decision with every rule and clause, duties, and refusals on the way."""
    decision = twin["decision"]
    text = f"text_{words.language.value}"
    notes = [] if decision["explained"] else [Text(text=words("not_explained"), note=True)]
    if decision["unverified"]:
        notes.append(Text(text=words("unverified", what=", ".join(decision["unverified"])), note=True))
    return Section(
        heading=words("s.decision"),
        blocks=(
            facts(
                words,
                "decision_caption",
                (
                    ("engine", decision["engine"]),
                    ("bundle_version", decision["bundle_version"]),
                    ("decided", decision["entry"]),
                ),
                (("bundle", decision["bundle_digest"]), ("question", decision["question_digest"])),
            ),
            *notes,
            Table(
                caption=words("rules_caption"),
                columns=(
                    Column(heading=words("rule"), width=5),
                    Column(heading="№", width=2),
                    Column(heading=words("clause"), width=7),
                    Column(heading=words("confidence"), width=2),
                    Column(heading=words("demands"), width=10),
                ),
                rows=rows_of(
                    [
                        (f"{r['point']}/{r['rule']}", r["number"], r["clause"], r["confidence"], r[text])
                        for r in decision["rules"]
                    ]
                ),
                empty=words("rules_none"),
            ),
            Text(text=words("confidence_note")),
            Table(
                caption=words("obligations_caption"),
                columns=(Column(heading=words("duty")), Column(heading=words("parameters"), width=4)),
                rows=rows_of(
                    [
                        (o["kind"], json.dumps(o["parameters"], ensure_ascii=False, sort_keys=True))
                        for o in decision["obligations"]
                    ]
                ),
                empty=words("obligations_none"),
            ),
            Table(
                caption=words("refusals_caption"),
                columns=(
                    Column(heading=words("entry"), style=Style.NUMBER, width=1),
                    Column(heading=words("time"), width=3),
                    Column(heading=words("act"), width=3),
                    Column(heading=words("actor"), width=2),
                    Column(heading=words("reason"), width=4),
                ),
                rows=rows_of(
                    [(r["entry"], when(r["at"]), r["what"], r["by"], r["why"]) for r in decision["refusals"]]
                ),
                empty=words("refusals_none"),
            ),
        ),
    )


def approvals_section(twin: Mapping[str, Any], words: Words) -> Section:
    """Who signed the digest, when, by which key."""
    return Section(
        heading=words("s.approvals"),
        blocks=(
            Table(
                caption=words("approvals_caption"),
                columns=(
                    Column(heading=words("approver"), width=3),
                    Column(heading=words("signed_at"), width=4),
                    Column(heading=words("key"), style=Style.CODE, width=6),
                    Column(heading=words("approval_form"), width=3),
                    Column(heading=words("entry"), style=Style.NUMBER, width=2),
                    Column(heading=words("looks"), width=3),
                ),
                rows=rows_of(
                    [
                        (
                            a["approver"],
                            when(a["signed_at"]),
                            a["thumbprint"],
                            words(f"approval_form.{a['form']}"),
                            a["entry"],
                            ", ".join(str(entry) for entry in a["looks"]) or words("none"),
                        )
                        for a in twin["approvals"]
                    ]
                ),
                empty=words("approvals_none"),
            ),
            Text(text=words("apart_note")),
        ),
    )


def delivery_section(twin: Mapping[str, Any], words: Words) -> Section:
    """Who may read, and who has read how much."""
    return Section(
        heading=words("s.delivery"),
        blocks=(
            Table(
                caption=words("grants_caption"),
                columns=(
                    Column(heading=words("grant"), style=Style.CODE, width=4),
                    Column(heading=words("principal"), width=3),
                    Column(heading=words("issued_by"), width=2),
                    Column(heading=words("issued_at"), width=4),
                    Column(heading=words("not_after"), width=4),
                    Column(heading=words("revoked"), width=4),
                ),
                rows=rows_of(
                    [
                        (
                            g["grant"],
                            g["principal"],
                            g["issued_by"],
                            when(g["issued_at"]),
                            when(g["not_after"]),
                            when(g["revoked_at"]),
                        )
                        for g in twin["grants"]
                    ]
                ),
                empty=words("grants_none"),
            ),
            Table(
                caption=words("deliveries_caption"),
                columns=(
                    Column(heading=words("principal"), width=3),
                    Column(heading=words("reads"), style=Style.NUMBER, width=2),
                    Column(heading=words("items"), style=Style.NUMBER, width=2),
                    Column(heading=words("bytes"), style=Style.NUMBER, width=3),
                    Column(heading=words("first"), width=4),
                    Column(heading=words("last"), width=4),
                ),
                rows=rows_of(
                    [
                        (
                            d["principal"],
                            number(d["reads"]),
                            number(d["items"]),
                            number(d["bytes"]),
                            when(d["first"]),
                            when(d["last"]),
                        )
                        for d in twin["deliveries"]
                    ]
                ),
                empty=words("deliveries_none"),
            ),
        ),
    )


def lineage_section(twin: Mapping[str, Any], words: Words) -> Section:
    """Where each item comes from, and the evidence of each stage."""
    sources = [
        (
            item["name"],
            item["recording"]["id"],
            f"{item['recording']['source']} {item['recording']['source_id']}",
            item["recording"]["item"],
        )
        for item in twin["lineage"]
    ]
    stages = [
        (item["name"], words(f"stage.{s['stage']}"), when(s["at"]), s["entry"], s["evidence"])
        for item in twin["lineage"]
        for s in item["stages"]
    ]
    return Section(
        heading=words("s.lineage"),
        blocks=(
            Table(
                caption=words("lineage_caption"),
                columns=(
                    Column(heading=words("name"), style=Style.CODE, width=4),
                    Column(heading=words("recording"), style=Style.CODE, width=4),
                    Column(heading=words("source"), width=3),
                    Column(heading=words("items"), style=Style.CODE, width=4),
                ),
                rows=rows_of(sources),
                empty=words("lineage_none"),
            ),
            Text(text=words("stages_proved", entries=number(len(twin["lineage_ledger"])))),
            Table(
                caption=words("stages_caption"),
                columns=(
                    Column(heading=words("name"), style=Style.CODE, width=4),
                    Column(heading=words("stage"), width=2),
                    Column(heading=words("time"), width=4),
                    Column(heading=words("entry"), style=Style.NUMBER, width=2),
                    Column(heading=words("evidence"), style=Style.CODE, width=6),
                ),
                rows=rows_of(stages),
                empty=words("lineage_none"),
            ),
        ),
    )


def ledger_section(twin: Mapping[str, Any], words: Words) -> Section:
    """The checkpoint, and the entries that are proved to be in its tree."""
    checkpoint = twin["checkpoint"]
    witnesses = ", ".join(w["vkey"].split("+")[0] for w in checkpoint["witnesses"])
    leaves = [base64.b64decode(each["leaf"]) for each in twin["ledger"]]
    rows = []
    for leaf in leaves:
        said = json.loads(leaf)
        digest = hashlib.sha256(b"\x00" + leaf).hexdigest()
        told = (said["index"], when(said["time"]), said["type"], said["outcome"], said["actor"])
        rows.append((*told, f"{digest[:16]}…"))
    return Section(
        heading=words("s.ledger"),
        blocks=(
            facts(
                words,
                "checkpoint_caption",
                (
                    ("origin", checkpoint["origin"]),
                    ("size", number(checkpoint["size"])),
                    ("as_of", when(checkpoint["as_of"])),
                    ("witnesses", witnesses or words("none")),
                ),
                (
                    ("root", checkpoint["root"]),
                    ("vkey", checkpoint["vkey"]),
                    ("release_key", thumbprint(twin["release_key"])),
                ),
            ),
            Text(text=words("verify_note")),
            Table(
                caption=words("entries_caption"),
                columns=(
                    Column(heading=words("index"), style=Style.NUMBER, width=2),
                    Column(heading=words("time"), width=5),
                    Column(heading=words("act"), width=6),
                    Column(heading=words("outcome"), width=3),
                    Column(heading=words("actor"), width=3),
                    Column(heading=words("leaf"), style=Style.CODE, width=5),
                ),
                rows=rows_of(rows),
                empty=words("entries_none"),
            ),
        ),
    )
