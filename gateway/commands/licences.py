"""Commands of surveying certificates, delegations and the documents behind signed papers."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.commands.session import As, Json, Key, KeyPassphrase, acting, opened, report, reporting
from gateway.flow.deciding import instant
from gateway.flow.licensed import certificate_facts
from gateway.people.certificates import (
    Certificate,
    Change,
    NewCertificate,
    NewChange,
    certificates,
    change_certificate,
    register_certificate,
)
from gateway.people.delegations import ANY, Delegation, delegations, end_delegation, register_delegation
from gateway.people.papers import read_document
from gateway.people.permission import permit

certificate_app = typer.Typer(help="Surveying certificates.", no_args_is_help=True)
delegation_app = typer.Typer(
    help="Delegations of units without a licence to licensed ones.", no_args_is_help=True
)
paper_app = typer.Typer(help="Documents behind signed papers.", no_args_is_help=True)

Number = Annotated[str, typer.Argument(help="Number of the certificate.")]
Kinds = Annotated[list[str], typer.Option("--kind", help="Kind as policy data names it; repeat for several.")]
Regions = Annotated[list[str], typer.Option("--region", help="Leading digits of GB/T 2260 codes; repeat.")]
From = Annotated[datetime, typer.Option("--valid-from", help="First day, UTC.")]
To = Annotated[datetime, typer.Option("--valid-to", help="End, UTC; excluded.")]
Reason = Annotated[str, typer.Option(help="Why.")]
Since = Annotated[datetime | None, typer.Option(help="From when, UTC; now unless given.")]


def read_bytes(path: Path) -> bytes:
    """The content of a document that the user names.

    Raises:
        typer.BadParameter: It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{path}: {error.strerror}") from error


def as_utc(moment: datetime) -> datetime:
    """A moment that the user names without a zone is of UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


@certificate_app.command("add")
@reporting
def certificate_add(
    number: Number,
    kind: Kinds,
    grade: Annotated[str, typer.Option(help="A (甲级) or B (乙级).")],
    holder: Annotated[str, typer.Option(help="Unit that holds it.")],
    region: Regions,
    valid_from: From,
    valid_to: To,
    document: Annotated[Path, typer.Option(help="Scan of the certificate; it is kept sealed.")],
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    renews: Annotated[str | None, typer.Option(help="Number of the certificate that it continues.")] = None,
    unverified: Annotated[
        bool, typer.Option(help="Show operators that nobody checked the original.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Register a surveying certificate with kind, grade, holder, regions and period."""
    with opened() as gate:
        actor, private = acting(gate, person, key, key_passphrase_file, "certificate.add")
        digest = register_certificate(
            gate,
            NewCertificate(
                number=number,
                kinds=kind,
                grade=grade,
                holder=holder,
                regions=region,
                valid_from=as_utc(valid_from),
                valid_to=as_utc(valid_to),
                renews=renews,
                unverified=unverified,
            ),
            read_bytes(document),
            actor=actor,
            key=private,
        )
    report({"certificate": number, "paper": digest}, as_json=as_json, line=f"{number}: registered")


@certificate_app.command("change")
@reporting
def certificate_change(
    number: Number,
    change: Annotated[Change, typer.Argument(help="What happened to it.")],
    reason: Reason,
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    since: Since = None,
    document: Annotated[
        Path | None, typer.Option(help="The authority's decision; it is kept sealed.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Suspend, reinstate or withdraw a certificate from a date; nothing rests on it while it is interrupted."""
    with opened() as gate:
        actor, private = acting(gate, person, key, key_passphrase_file, "certificate.change")
        moment = gate.clock() if since is None else as_utc(since)
        made = NewChange(number=number, change=change, since=moment, reason=reason)
        content = None if document is None else read_bytes(document)
        digest = change_certificate(gate, made, content, actor=actor, key=private)
    report(
        {"certificate": number, "change": change.value, "since": instant(moment), "paper": digest},
        as_json=as_json,
        line=f"{number}: {change.value} since {instant(moment)}",
    )


@certificate_app.command("list")
@reporting
def certificate_list(
    person: As, key: Key, key_passphrase_file: KeyPassphrase, *, as_json: Json = False
) -> None:
    """Show every certificate with its standing, interruptions and the paper that registered it."""
    with opened() as gate:
        actor, _ = acting(gate, person, key, key_passphrase_file, "certificate.list")
        permit(gate, actor, "certificate.list")
        with gate.database.read() as session:
            found = certificates(gate, session)
    lines = [
        f"{c.number}  {c.grade or '-'}  {c.holder or '-'}  {','.join(c.regions)}  "
        f"{instant(c.valid_from)[:10]}..{instant(c.valid_to)[:10]}  {c.standing}"
        for c in found
    ]
    told = [_certificate_told(each) for each in found]
    report({"certificates": told}, as_json=as_json, line="\n".join(lines) or "no certificates")


def _certificate_told(certificate: Certificate) -> dict[str, Any]:
    paper = certificate.paper
    return {
        **certificate_facts(certificate),
        "standing": certificate.standing,
        "renews": certificate.renews,
        "reasons": [each.reason for each in certificate.interruptions],
        "document": certificate.document,
        "paper": paper.digest if paper else None,
        "registered_by": paper.signer if paper else None,
    }


@delegation_app.command("add")
@reporting
def delegation_add(
    delegation: Annotated[str, typer.Argument(help="Number of the contract of delegation.")],
    delegator: Annotated[str, typer.Option("--from", help="Unit that delegates.")],
    certificate: Annotated[str, typer.Option(help="Number of the certificate that is surveyed under.")],
    kind: Kinds,
    region: Regions,
    valid_from: From,
    valid_to: To,
    document: Annotated[Path, typer.Option(help="The contract; it is kept sealed.")],
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    source: Annotated[
        list[str] | None,
        typer.Option(help="Id of a vehicle or carrier; repeat. All of the unit unless given."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Register what a unit without a licence of its own delegates to the holder of a certificate."""
    with opened() as gate:
        actor, private = acting(gate, person, key, key_passphrase_file, "delegation.add")
        made = Delegation(
            id=delegation,
            delegator=delegator,
            certificate=certificate,
            sources=source or [ANY],
            kinds=kind,
            regions=region,
            valid_from=as_utc(valid_from),
            valid_to=as_utc(valid_to),
        )
        digest = register_delegation(gate, made, read_bytes(document), actor=actor, key=private)
    report({"delegation": delegation, "paper": digest}, as_json=as_json, line=f"{delegation}: registered")


@delegation_app.command("end")
@reporting
def delegation_end(
    delegation: Annotated[str, typer.Argument(help="Number of the contract of delegation.")],
    reason: Reason,
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    since: Since = None,
    as_json: Json = False,
) -> None:
    """End a delegation before its time."""
    with opened() as gate:
        actor, private = acting(gate, person, key, key_passphrase_file, "delegation.end")
        moment = gate.clock() if since is None else as_utc(since)
        digest = end_delegation(gate, delegation, since=moment, reason=reason, actor=actor, key=private)
    report(
        {"delegation": delegation, "since": instant(moment), "paper": digest},
        as_json=as_json,
        line=f"{delegation}: ended {instant(moment)}",
    )


@delegation_app.command("list")
@reporting
def delegation_list(
    person: As, key: Key, key_passphrase_file: KeyPassphrase, *, as_json: Json = False
) -> None:
    """Show every delegation with its scope and the paper that registered it."""
    with opened() as gate:
        actor, _ = acting(gate, person, key, key_passphrase_file, "delegation.list")
        permit(gate, actor, "delegation.list")
        found = delegations(gate)
    told = [
        {
            "delegation": each.id,
            "from": each.delegator,
            "certificate": each.certificate,
            "sources": list(each.sources),
            "kinds": list(each.kinds),
            "regions": list(each.regions),
            "valid_from": instant(each.valid_from),
            "valid_to": instant(each.valid_to),
            "document": each.paper.document if each.paper else None,
            "paper": each.paper.digest if each.paper else None,
        }
        for each in found
    ]
    lines = [
        f"{t['delegation']}  {t['from']} -> {t['certificate']}  {','.join(each.sources)}  "
        f"{instant(each.valid_from)[:10]}..{instant(each.valid_to)[:10]}"
        for t, each in zip(told, found, strict=True)
    ]
    report({"delegations": told}, as_json=as_json, line="\n".join(lines) or "no delegations")


@paper_app.command("document")
@reporting
def paper_document(
    paper: Annotated[str, typer.Argument(help="Digest of the paper, as lists show it.")],
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    out: Annotated[Path, typer.Option(help="File to write the document to; it must not exist.")],
    as_json: Json = False,
) -> None:
    """Open the sealed document behind a paper: a scan, a contract, a report. The look is an entry."""
    if out.exists():
        raise typer.BadParameter(f"{out} exists (expected a free name)")
    with opened() as gate:
        actor, _ = acting(gate, person, key, key_passphrase_file, "document.read")
        content = read_document(gate, paper, actor=actor)
    with out.open("xb") as file:
        file.write(content)
    report({"paper": paper, "bytes": len(content)}, as_json=as_json, line=f"{out}: {len(content)} bytes")
