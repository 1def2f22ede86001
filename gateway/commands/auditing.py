"""Commands of auditors: verify, query and export the ledger."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from audit.bundle import bundle_ledger
from audit.events import EventType, Outcome
from audit.export import export_ledger
from audit.query import EntryFilter, find_page
from audit.questions import TITLES, Answer, Question
from audit.questions import ask as answer_of
from audit.renderings.export import Rendering, render_ledger
from audit.tiles import archive_tiles
from gateway.commands.session import As, Json, Key, KeyPassphrase, acting, opened, report, reporting
from gateway.flow.acts import intended
from gateway.flow.gate import Gate
from gateway.flow.law import break_glass_review_days, is_unverified, parameter, raw_retention_days
from gateway.flow.use import read_query
from gateway.people.permission import permit
from gateway.people.registry import Actor

app = typer.Typer(help="The transparency log.", no_args_is_help=True)

Actors = Annotated[str | None, typer.Option(help="Only acts of this person or vehicle.")]
Recordings = Annotated[str | None, typer.Option(help="Only entries about this recording.")]
Releases = Annotated[str | None, typer.Option(help="Only entries about this release.")]


def _auditor(gate: Gate, person: str, key: Path, passphrase: Path, act: str) -> Actor:
    actor, _ = acting(gate, person, key, passphrase, act)
    return permit(gate, actor, act)


@app.command()
@reporting
def verify(*, as_json: Json = False) -> None:
    """Recompute the whole ledger: every leaf, every proof, every checkpoint."""
    with opened() as gate:
        verified = gate.ledger.verify()
        vkey = gate.ledger.signer.vkey
    result = {
        "size": verified.size,
        "root": verified.root.hex(),
        "checkpoints": verified.checkpoints,
        "open_intents": verified.open_intents,
        "vkey": vkey,
    }
    report(
        result,
        as_json=as_json,
        line=f"ledger verifies: {verified.size} entries, {verified.checkpoints} checkpoints, "
        f"root {result['root']}",
    )


@app.command("key")
@reporting
def ledger_key(*, as_json: Json = False) -> None:
    """Print the public key that checkpoints verify under; as JSON also that of their SM2 line, if any."""
    with opened() as gate:
        vkey, beside = gate.ledger.signer.vkey, gate.ledger.signer.beside
    sm2_vkey = None if beside is None else beside.vkey
    report({"vkey": vkey, "sm2_vkey": sm2_vkey}, as_json=as_json, line=vkey)


@app.command()
@reporting
def query(
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    actor: Actors = None,
    object_id: Annotated[str | None, typer.Option("--object", help="Only acts on this object.")] = None,
    recording: Recordings = None,
    item: Annotated[str | None, typer.Option(help="Only entries about this item.")] = None,
    release: Releases = None,
    grant: Annotated[str | None, typer.Option(help="Only acts that rest on this grant.")] = None,
    vehicle: Annotated[str | None, typer.Option(help="Only entries about this vehicle.")] = None,
    recipient: Annotated[str | None, typer.Option(help="Only entries about this recipient.")] = None,
    purpose: Annotated[str | None, typer.Option(help="Only entries for this purpose.")] = None,
    rule: Annotated[str | None, typer.Option(help="Only what this rule decided.")] = None,
    kind: Annotated[list[EventType] | None, typer.Option("--type", help="Type of act; repeat.")] = None,
    outcome: Annotated[Outcome | None, typer.Option(help="Only this outcome.")] = None,
    since: Annotated[datetime | None, typer.Option(help="Not before, UTC.")] = None,
    until: Annotated[datetime | None, typer.Option(help="Before, UTC.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Most entries to print.")] = 50,
    after: Annotated[int | None, typer.Option(help="Cursor of the page before.")] = None,
    as_json: Json = False,
) -> None:
    """Find entries; the query is itself recorded."""
    wanted = EntryFilter(
        actor=actor,
        object=object_id,
        recording=recording,
        item=item,
        release=release,
        grant=grant,
        vehicle=vehicle,
        recipient=recipient,
        purpose=purpose,
        rule=rule,
        types=tuple(kind or ()),
        outcome=outcome,
        since=since.replace(tzinfo=UTC) if since else None,
        until=until.replace(tzinfo=UTC) if until else None,
    )
    with opened() as gate:
        auditor = _auditor(gate, person, key, key_passphrase_file, "audit.query")
        event = intended(
            EventType.AUDIT_LEDGER_QUERY, actor=auditor.id, object_id="ledger", digests=auditor.digests
        )
        with gate.ledger.intent(event) as intent:
            with gate.ledger.snapshot() as snapshot:
                page = find_page(snapshot, wanted, limit=limit, after=after)
            intent.complete(facts={"entries": len(page.entries)})
    rows: list[dict[str, Any]] = [
        {
            "index": e.index,
            "time": e.time.isoformat(),
            "type": e.event.type.value,
            "outcome": e.event.outcome.value,
            "actor": e.event.actor,
            "object": e.event.object,
            "facts": dict(e.event.facts),
        }
        for e in page.entries
    ]
    lines = "\n".join(
        f"{r['index']:>7} {r['time']} {r['outcome']:<9} {r['type']:<28} {r['actor']} {r['object']} {r['facts']}"
        for r in rows
    )
    report({"entries": rows, "cursor": page.cursor}, as_json=as_json, line=lines or "no entries")


@app.command()
@reporting
def export(
    file: Annotated[Path, typer.Argument(help="File to write; `python -m audit.verify` checks it.")],
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    release: Releases = None,
    recording: Recordings = None,
    rendering: Annotated[
        Rendering | None,
        typer.Option("--format", help="Form for another system; FILE.checkpoint lies beside."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Export entries with inclusion proofs under a fresh checkpoint."""
    narrowed = release is not None or recording is not None
    wanted = EntryFilter(release=release, recording=recording) if narrowed else None
    with opened() as gate:
        auditor = _auditor(gate, person, key, key_passphrase_file, "audit.export")
        event = intended(
            EventType.AUDIT_LEDGER_EXPORT, actor=auditor.id, object_id="ledger", digests=auditor.digests
        )
        with gate.ledger.intent(event) as intent:
            note = gate.checkpoint()
            if rendering is None:
                with file.open("xb") as stream:
                    count = export_ledger(gate.ledger, stream, wanted=wanted, note=note).count
            else:
                count = render_ledger(gate.ledger, file, rendering, note=note, wanted=wanted)
            intent.complete(facts={"entries": count})
        vkey = gate.ledger.signer.vkey
    verifier = "verify" if rendering is None else "verify_rendering"
    hint = f"; verify with: python -m audit.{verifier} {file} --vkey '{vkey}'"
    report(
        {"file": str(file), "entries": count, "vkey": vkey},
        as_json=as_json,
        # The standard library reads no Parquet, and so the verifier does not.
        line=f"{count} entries in {file}{'' if rendering is Rendering.PARQUET else hint}",
    )


@app.command()
@reporting
def tiles(
    directory: Annotated[Path, typer.Argument(help="Archive to make or to bring up to date.")],
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    as_json: Json = False,
) -> None:
    """Archive the ledger as tiles (C2SP tlog-tiles) under a fresh checkpoint, for `python -m audit.verify`."""
    with opened() as gate:
        auditor = _auditor(gate, person, key, key_passphrase_file, "audit.tiles")
        event = intended(
            EventType.AUDIT_LEDGER_EXPORT, actor=auditor.id, object_id="ledger", digests=auditor.digests
        )
        with gate.ledger.intent(event) as intent:
            archived = archive_tiles(gate.ledger, directory, gate.checkpoint())
            intent.complete(facts={"entries": archived.size, "files": archived.written})
        vkey = gate.ledger.signer.vkey
    report(
        {"directory": str(directory), "entries": archived.size, "written": archived.written, "vkey": vkey},
        as_json=as_json,
        line=f"{archived.size} entries in {directory}; "
        f"verify with: python -m audit.verify {directory} --vkey '{vkey}'",
    )


@app.command()
@reporting
def bundle(
    file: Annotated[Path, typer.Argument(help="ZIP archive to write.")],
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    release: Releases = None,
    recording: Recordings = None,
    as_json: Json = False,
) -> None:
    """Write a regulator's bundle: entries, proofs, keys, verifier, answers to questions, readme in zh and en."""
    narrowed = release is not None or recording is not None
    wanted = EntryFilter(release=release, recording=recording) if narrowed else None
    with opened() as gate:
        auditor = _auditor(gate, person, key, key_passphrase_file, "audit.bundle")
        event = intended(
            EventType.AUDIT_LEDGER_EXPORT, actor=auditor.id, object_id="ledger", digests=auditor.digests
        )
        with gate.ledger.intent(event) as intent, file.open("xb") as stream:
            bundled = bundle_ledger(
                gate.ledger,
                stream,
                note=gate.checkpoint(),
                witnesses=tuple(each.vkey for each in gate.settings.witnesses),
                wanted=wanted,
                documents=None if narrowed else {f"{q.value}.json": _document(gate, q) for q in Question},
            )
            intent.complete(facts={"entries": bundled.count})
        vkey = gate.ledger.signer.vkey
    report(
        {"file": str(file), "entries": bundled.count, "size": bundled.size, "vkey": vkey},
        as_json=as_json,
        line=f"{bundled.count} entries in {file}; its README tells how to verify them",
    )


def _document(gate: Gate, question: Question) -> bytes:
    answer = _answered(gate, question, since=None, until=None)
    document = _as_document(answer, _term(gate, question))
    return json.dumps(document, ensure_ascii=False, indent=1).encode()


def _answered(gate: Gate, question: Question, *, since: datetime | None, until: datetime | None) -> Answer:
    with gate.ledger.snapshot() as snapshot:
        return answer_of(
            snapshot,
            question,
            since=since.replace(tzinfo=UTC) if since else None,
            until=until.replace(tzinfo=UTC) if until else None,
            now=gate.clock(),
            raw_term=timedelta(days=raw_retention_days(gate)),
            review_term=timedelta(days=break_glass_review_days(gate)),
        )


_TERMS = {
    Question.RETENTION: ("retention", "raw_days"),
    Question.BREAK_GLASS: ("acts", "break_glass_review_days"),
}


def _term(gate: Gate, question: Question) -> dict[str, Any] | None:
    """The dated number that an answer rests on, with its source and whether nobody confirmed it."""
    named = _TERMS.get(question)
    if named is None:
        return None
    return {**parameter(gate, *named, gate.clock().date()), "unverified": is_unverified(gate, *named)}


def _as_document(answer: Answer, term: dict[str, Any] | None) -> dict[str, Any]:
    title_zh, title_en = TITLES[answer.question]
    return {
        **({"term": term} if term else {}),
        "question": answer.question.value,
        "title": {"zh": title_zh, "en": title_en},
        "rows": list(answer.rows),
        "findings": list(answer.findings),
        "size": answer.size,
    }


@app.command()
@reporting
def ask(
    question: Annotated[
        Question,
        typer.Argument(help="raw, recipients, denials, deletions, retention, orphans, break-glass or uses."),
    ],
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    since: Annotated[datetime | None, typer.Option(help="Not before, UTC.")] = None,
    until: Annotated[datetime | None, typer.Option(help="Before, UTC.")] = None,
    as_json: Json = False,
) -> None:
    """Answer a regulator's question from the ledger; the question is itself recorded."""
    with opened() as gate:
        auditor = _auditor(gate, person, key, key_passphrase_file, "audit.ask")
        event = intended(
            EventType.AUDIT_LEDGER_QUERY, actor=auditor.id, object_id="ledger", digests=auditor.digests
        )
        with gate.ledger.intent(event) as intent:
            answer, term = _answered(gate, question, since=since, until=until), _term(gate, question)
            intent.complete(facts={"question": question.value, "rows": len(answer.rows)})
    title_zh, title_en = TITLES[question]
    lines = [f"{title_zh} / {title_en} ({answer.size} entries)"]
    if term is not None:
        mark = ", 未核实 / unverified" if term["unverified"] else ""
        lines.append(f"期限 / term {term['value']} {term['unit']} ({term['source']}{mark})")
    lines += ["  ".join(f"{name}={value}" for name, value in row.items()) for row in answer.rows]
    lines += [f"finding: {finding}" for finding in answer.findings]
    report(_as_document(answer, term), as_json=as_json, line="\n".join(lines))


@app.command()
@reporting
def words(
    use: Annotated[str, typer.Argument(help="Id of a use of released data, as `audit ask uses` lists it.")],
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    as_json: Json = False,
) -> None:
    """Read what an engineer asked of released data: the words that are sealed beside the entry.

    The reading is itself recorded.
    """
    with opened() as gate:
        actor, _ = acting(gate, person, key, key_passphrase_file, "audit.query")
        found = read_query(gate, use, actor=actor)
    said = json.dumps(found["query"], ensure_ascii=False)
    report(
        found,
        as_json=as_json,
        line="  ".join(
            (*(found[name] for name in ("time", "actor", "purpose", "kind")), *found["releases"], said)
        ),
    )
