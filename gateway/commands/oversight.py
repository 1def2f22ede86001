"""Commands of recipients, contracts with them and their supervision, and of purposes and their assessments."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from gateway.commands.licences import as_utc, read_bytes
from gateway.commands.session import As, Json, Key, KeyPassphrase, acting, opened, report, reporting
from gateway.flow.deciding import instant
from gateway.flow.overseen import assessment_facts, contract_facts
from gateway.people.assessments import Assessment, AssessmentKind, assessments_of, register_assessment
from gateway.people.permission import permit
from gateway.people.recipients import (
    Contract,
    Inspection,
    close_finding,
    oversight_of,
    record_inspection,
    register_contract,
)
from gateway.people.registry import register_purpose, register_recipient

recipient_app = typer.Typer(help="Organisations that may receive releases.", no_args_is_help=True)
purpose_app = typer.Typer(help="Registered purposes.", no_args_is_help=True)

Recipient = Annotated[str, typer.Argument(help="Id of the organisation.")]
PurposeName = Annotated[str, typer.Argument(help="Name of the purpose.")]


@recipient_app.command("add")
@reporting
def recipient_add(
    recipient: Annotated[str, typer.Argument(help="Id of the organisation.")],
    country: Annotated[str, typer.Option(help="ISO 3166-1 alpha-2.")],
    contract: Annotated[str, typer.Option(help="Reference of the contract.")],
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    as_json: Json = False,
) -> None:
    """Register an organisation that may receive releases."""
    with opened() as gate:
        actor, _ = acting(gate, person, key, key_passphrase_file, "recipient.add")
        register_recipient(gate, recipient, country=country, contract=contract, actor=actor)
    report({"recipient": recipient}, as_json=as_json, line=f"{recipient}: registered")


@recipient_app.command("contract")
@reporting
def recipient_contract(
    recipient: Recipient,
    number: Annotated[str, typer.Option(help="Number of the contract.")],
    purpose: Annotated[list[str], typer.Option(help="Registered purpose that it allows; repeat.")],
    valid_from: Annotated[datetime, typer.Option(help="First day, UTC.")],
    valid_to: Annotated[datetime, typer.Option(help="End, UTC; excluded.")],
    document: Annotated[Path, typer.Option(help="The contract; it is kept sealed.")],
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    as_json: Json = False,
) -> None:
    """Register a contract with a recipient; a later one of the same number replaces it."""
    with opened() as gate:
        actor, private = acting(gate, person, key, key_passphrase_file, "recipient.contract")
        contract = Contract(
            recipient=recipient,
            number=number,
            valid_from=as_utc(valid_from),
            valid_to=as_utc(valid_to),
            purposes=purpose,
        )
        digest = register_contract(gate, contract, read_bytes(document), actor=actor, key=private)
    report(
        {"recipient": recipient, "contract": number, "paper": digest},
        as_json=as_json,
        line=f"{recipient}: contract {number} registered",
    )


@recipient_app.command("supervise")
@reporting
def recipient_supervise(
    recipient: Recipient,
    inspector: Annotated[str, typer.Option(help="Who inspected.")],
    document: Annotated[Path, typer.Option(help="The report; it is kept sealed.")],
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    on: Annotated[datetime | None, typer.Option(help="When, UTC; now unless given.")] = None,
    finding: Annotated[
        str, typer.Option(help="What must be put right; no release goes to the recipient until it is closed.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Record an inspection of a recipient with its report."""
    with opened() as gate:
        actor, private = acting(gate, person, key, key_passphrase_file, "recipient.supervise")
        moment = gate.clock() if on is None else as_utc(on)
        made = Inspection(recipient=recipient, inspected_at=moment, inspector=inspector, finding=finding)
        digest = record_inspection(gate, made, read_bytes(document), actor=actor, key=private)
    report(
        {"recipient": recipient, "inspected_at": instant(moment), "open": bool(finding), "paper": digest},
        as_json=as_json,
        line=f"{recipient}: inspected {instant(moment)}{', a finding stands open' if finding else ''}",
    )


@recipient_app.command("close")
@reporting
def recipient_close(
    recipient: Recipient,
    inspection: Annotated[str, typer.Argument(help="Digest of the inspection's paper.")],
    reason: Annotated[str, typer.Option(help="How it was put right.")],
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    document: Annotated[Path | None, typer.Option(help="What shows it; it is kept sealed.")] = None,
    as_json: Json = False,
) -> None:
    """State that what an inspection found was put right."""
    with opened() as gate:
        actor, private = acting(gate, person, key, key_passphrase_file, "recipient.close")
        content = None if document is None else read_bytes(document)
        digest = close_finding(
            gate, recipient, inspection, reason=reason, document=content, actor=actor, key=private
        )
    report(
        {"recipient": recipient, "inspection": inspection, "paper": digest},
        as_json=as_json,
        line=f"{recipient}: finding closed",
    )


@recipient_app.command("show")
@reporting
def recipient_show(
    recipient: Recipient, person: As, key: Key, key_passphrase_file: KeyPassphrase, *, as_json: Json = False
) -> None:
    """Show contracts with a recipient and inspections of it."""
    with opened() as gate:
        actor, _ = acting(gate, person, key, key_passphrase_file, "recipient.show")
        permit(gate, actor, "recipient.show", on=recipient)
        oversight = oversight_of(gate, recipient)
    contracts = [
        {**contract_facts(each), "paper": each.paper.digest if each.paper else None}
        for each in oversight.contracts
    ]
    inspections = [
        {
            "inspected_at": instant(each.inspected_at),
            "inspector": each.inspector,
            "finding": each.finding,
            "open": each.open,
            "closed_by": each.closed_by,
            "paper": each.paper.digest if each.paper else None,
        }
        for each in oversight.inspections
    ]
    lines = [
        f"contract {each.number}  {instant(each.valid_from)[:10]}..{instant(each.valid_to)[:10]}"
        for each in oversight.contracts
    ]
    lines += [
        f"inspected {instant(each.inspected_at)[:10]} by {each.inspector}: "
        f"{each.finding or 'nothing found'}{' (open)' if each.open else ''}"
        for each in oversight.inspections
    ]
    report(
        {"recipient": recipient, "contracts": contracts, "inspections": inspections},
        as_json=as_json,
        line="\n".join(lines) or f"{recipient}: neither contract nor inspection",
    )


@purpose_app.command("add")
@reporting
def purpose_add(
    purpose: Annotated[str, typer.Argument(help="Name of the purpose.")],
    assessment: Annotated[str, typer.Option(help="Reference of the assessment that covers it.")],
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    as_json: Json = False,
) -> None:
    """Register a purpose."""
    with opened() as gate:
        actor, _ = acting(gate, person, key, key_passphrase_file, "purpose.add")
        register_purpose(gate, purpose, assessment=assessment, actor=actor)
    report({"purpose": purpose}, as_json=as_json, line=f"{purpose}: registered")


@purpose_app.command("assess")
@reporting
def purpose_assess(
    purpose: PurposeName,
    kind: Annotated[
        AssessmentKind,
        typer.Option(help="pia (PIPL 55), provision (of important data) or dpia (GDPR 35)."),
    ],
    reference: Annotated[str, typer.Option(help="Number of the assessment.")],
    made_on: Annotated[datetime, typer.Option(help="When it was made, UTC.")],
    valid_until: Annotated[datetime, typer.Option(help="Until when it counts, UTC; excluded.")],
    data_class: Annotated[
        list[str], typer.Option("--class", help="Class of data that it covers; repeat for several.")
    ],
    level: Annotated[list[str], typer.Option(help="Level that it covers; repeat for several.")],
    document: Annotated[Path, typer.Option(help="The report; it is kept sealed.")],
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    as_json: Json = False,
) -> None:
    """Register an assessment that a purpose rests on; a later one of the same reference replaces it."""
    with opened() as gate:
        actor, private = acting(gate, person, key, key_passphrase_file, "purpose.assess")
        assessment = Assessment(
            purpose=purpose,
            kind=kind,
            reference=reference,
            made_at=as_utc(made_on),
            valid_until=as_utc(valid_until),
            classes=data_class,
            levels=level,
        )
        digest = register_assessment(gate, assessment, read_bytes(document), actor=actor, key=private)
    report(
        {"purpose": purpose, "assessment": reference, "paper": digest},
        as_json=as_json,
        line=f"{purpose}: {kind.value} {reference} registered",
    )


@purpose_app.command("show")
@reporting
def purpose_show(
    purpose: PurposeName, person: As, key: Key, key_passphrase_file: KeyPassphrase, *, as_json: Json = False
) -> None:
    """Show the assessments that a purpose rests on."""
    with opened() as gate:
        actor, _ = acting(gate, person, key, key_passphrase_file, "purpose.show")
        permit(gate, actor, "purpose.show", on=purpose)
        told = [
            {**assessment_facts(each), "paper": each.paper.digest if each.paper else None}
            for each in assessments_of(gate, purpose)
        ]
    lines = [f"{t['kind']} {t['reference']}  {t['valid_from'][:10]}..{t['valid_until'][:10]}" for t in told]
    report(
        {"purpose": purpose, "assessments": told},
        as_json=as_json,
        line="\n".join(lines) or f"{purpose}: no assessment",
    )
