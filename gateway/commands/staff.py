"""Commands of the staff roster: list, change, suspend, reinstate."""

from datetime import datetime
from typing import Annotated

import typer

from gateway.commands.licences import as_utc
from gateway.commands.session import As, Json, Key, KeyPassphrase, acting, opened, report, reporting
from gateway.commands.setup import person_app
from gateway.flow.deciding import instant
from gateway.people.permission import permit
from gateway.people.roster import NewStanding, RosterChange, change_person, roster

app = person_app
Person = Annotated[str, typer.Argument(help="Pseudonymous id of the person.")]
Reason = Annotated[str, typer.Option(help="Why.")]


@app.command("list")
@reporting
def person_list(
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    as_of: Annotated[datetime | None, typer.Option(help="Of which moment, UTC; now unless given.")] = None,
    as_json: Json = False,
) -> None:
    """Show everybody enrolled with roles, nationality and entity, as they stood at a moment."""
    with opened() as gate:
        actor, _ = acting(gate, person, key, key_passphrase_file, "person.list")
        permit(gate, actor, "person.list")
        with gate.database.read() as session:
            found = roster(gate, session, None if as_of is None else as_utc(as_of))
    told = [
        {
            "person": each.person,
            "roles": list(each.roles),
            "nationality": each.nationality,
            "entity_country": each.entity_country,
            "recipient": each.recipient,
            "since": instant(each.since),
            "until": None if each.until is None else instant(each.until),
            "suspended": each.suspended,
            "reason": each.reason,
            "paper": each.paper.digest if each.paper else None,
        }
        for each in found
    ]
    lines = [
        f"{each.person}  {','.join(each.roles)}  {each.nationality}/{each.entity_country}  "
        f"since {instant(each.since)[:10]}{'  suspended' if each.suspended else ''}"
        for each in found
    ]
    report({"people": told}, as_json=as_json, line="\n".join(lines) or "nobody")


@app.command("change")
@reporting
def person_change(
    who: Person,
    reason: Reason,
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    role: Annotated[list[str] | None, typer.Option(help="Role; repeat. Replaces those held.")] = None,
    nationality: Annotated[str | None, typer.Option(help="ISO 3166-1 alpha-2.")] = None,
    entity_country: Annotated[str | None, typer.Option(help="Country of the entity they act for.")] = None,
    as_json: Json = False,
) -> None:
    """Change a person's roles, nationality or entity by a signed paper."""
    to = NewStanding(roles=role or None, nationality=nationality, entity_country=entity_country)
    _change(who, RosterChange.CHANGE, reason, (person, key, key_passphrase_file), as_json=as_json, to=to)


@app.command("suspend")
@reporting
def person_suspend(
    who: Person,
    reason: Reason,
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    as_json: Json = False,
) -> None:
    """Suspend a person: from now on nothing that they sign counts, and nothing that they ask is answered."""
    _change(who, RosterChange.SUSPEND, reason, (person, key, key_passphrase_file), as_json=as_json)


@app.command("reinstate")
@reporting
def person_reinstate(
    who: Person,
    reason: Reason,
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    as_json: Json = False,
) -> None:
    """End a person's suspension."""
    _change(who, RosterChange.REINSTATE, reason, (person, key, key_passphrase_file), as_json=as_json)


def _change(
    who: str,
    change: RosterChange,
    reason: str,
    proof: tuple[As, Key, KeyPassphrase],
    *,
    as_json: bool,
    to: NewStanding | None = None,
) -> None:
    with opened() as gate:
        actor, private = acting(gate, *proof, f"person.{change.value}")
        digest = change_person(gate, who, change, reason=reason, actor=actor, key=private, to=to)
    report(
        {"person": who, "change": change.value, "paper": digest},
        as_json=as_json,
        line=f"{who}: {change.value}, {reason}",
    )
