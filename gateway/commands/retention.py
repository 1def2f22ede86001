"""Commands about the terms of records (rule 29): what is due, and destroying its keys."""

from pathlib import Path
from typing import Annotated

import typer

from audit.events import EventType
from audit.verify_destruction import verify_destruction
from gateway.app import release_public_jwk
from gateway.commands.session import As, Json, Key, KeyPassphrase, acting, opened, report, reporting
from gateway.destruction import certify_record_key
from gateway.flow.acts import intended
from gateway.flow.retention import destroy_record_key, terms
from gateway.people.permission import permit

app = typer.Typer(help="Terms of records, and what happens after them.", no_args_is_help=True)


@app.command()
@reporting
def due(
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    every: Annotated[bool, typer.Option("--all", help="List keys whose term is not over, too.")] = False,
    as_json: Json = False,
) -> None:
    """List keys of releases and of ledger detail whose term is over (rule 29); nothing is destroyed."""
    with opened() as gate:
        actor, _ = acting(gate, person, key, key_passphrase_file, "retention.due")
        permit(gate, actor, "retention.due")
        event = intended(
            EventType.AUDIT_LEDGER_QUERY, actor=actor.id, object_id="retention", digests=actor.digests
        )
        with gate.ledger.intent(event) as intent:
            now = gate.clock()
            found = [each for each in terms(gate) if every or each.is_over(now)]
            intent.complete(facts={"keys": len(found)})
    rows = [
        {
            "key": each.kek_id,
            "kind": each.kind.value,
            "of": each.of,
            "rule": each.rule,
            "allowed_from": None if each.allowed_from is None else each.allowed_from.isoformat(),
            "over": each.is_over(now),
        }
        for each in found
    ]
    lines = [
        f"{row['key']}  {row['rule']}  {row['allowed_from'] or '永久 / for good'}"
        f"{'  到期 / over' if row['over'] else ''}"
        for row in rows
    ]
    report({"keys": rows}, as_json=as_json, line="\n".join(lines) or "没有到期的密钥 / no key is due")


@app.command()
@reporting
def destroy(
    kek: Annotated[str, typer.Argument(help="Id of the key, as `retention due` lists it.")],
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    out: Annotated[
        Path | None, typer.Option(help="File to write the certificate of destruction to; it must not exist.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Destroy the key of a release or of ledger detail whose term is over; refused a second before.

    Safe to repeat: the certificate of destruction is issued once, and given again.
    """
    if out is not None and out.exists():
        raise typer.BadParameter(f"{out} exists (expected a free name)")
    with opened() as gate:
        actor, _ = acting(gate, person, key, key_passphrase_file, "retention.destroy")
        destroy_record_key(gate, kek, actor=actor)
        certificate = certify_record_key(gate, kek)
        said = verify_destruction(
            certificate, release_public_jwk(gate, certificate), gate.ledger.signer.vkey
        ).says
    if out is not None:
        with out.open("x", encoding="ascii") as file:
            file.write(certificate)
    report(
        {"key": kek, "destroyed": True, "certificate": certificate, "says": said},
        as_json=as_json,
        line=f"{kek}: destroyed\n{said['text']['zh']}\n{said['text']['en']}\n{certificate}",
    )
