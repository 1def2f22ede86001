"""Commands that set a gate up: init, keys, people, vehicles."""

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import sqlalchemy as sa
import typer

from gateway.app import initialise, open_gate, release_public_jwk
from gateway.commands import zones
from gateway.commands.session import (
    As,
    Json,
    Key,
    KeyPassphrase,
    acting,
    first_line,
    opened,
    report,
    reporting,
    settings,
    text_of,
)
from gateway.errors import InvalidRequestError, UnauthenticatedError
from gateway.people.delegations import assign_source
from gateway.people.permission import permit
from gateway.people.records import PersonRow
from gateway.people.registry import (
    NewPerson,
    enrol_person,
    enrol_vehicle,
)
from gateway.vault.jws import PrivateKey, generate_person_key, public_text, thumbprint
from gateway.vault.key_files import save_private_key
from gateway.vault.sm2 import Sm2PrivateKey

app = typer.Typer(no_args_is_help=True)
key_app = typer.Typer(help="Keys of people and vehicles.", no_args_is_help=True)
person_app = typer.Typer(help="People and their roles.", no_args_is_help=True)
vehicle_app = typer.Typer(help="Collection vehicles.", no_args_is_help=True)
zones_app = zones.app


class KeyAlgorithm(StrEnum):
    """What a key of a person signs with."""

    ED25519 = "ed25519"
    SM2 = "sm2"


@app.command()
@reporting
def init(*, as_json: Json = False) -> None:
    """Make a gate in FLEETGATE_HOME: keystore, databases, signed policy. Safe to repeat."""
    chosen = settings()
    initialise(chosen)
    with open_gate(chosen) as gate:
        report(
            {
                "home": str(chosen.home),
                "ledger_key": gate.ledger.signer.vkey,
                "release_key": release_public_jwk(gate),
                "policy_bundle": gate.bundle.bundle.digest,
                "policy_engine": gate.engine.name,
                "profile": gate.profile.profile.name,
            },
            as_json=as_json,
        )


@key_app.command("new")
@reporting
def key_new(
    file: Annotated[Path, typer.Argument(help="PEM file to write; it must not exist.")],
    passphrase_file: Annotated[
        Path, typer.Option("--key-passphrase-file", help="File whose first line protects the key.")
    ],
    *,
    algorithm: Annotated[
        KeyAlgorithm,
        typer.Option(help="`sm2` for people of a gate whose suite is `sm4gcm-sm3-sm2`; no other takes it."),
    ] = KeyAlgorithm.ED25519,
    public: Annotated[Path | None, typer.Option(help="File to write the public half to as well.")] = None,
    as_json: Json = False,
) -> None:
    """Make a key pair, Ed25519 or SM2; the private half is written encrypted, the public half printed."""
    sm2 = algorithm is KeyAlgorithm.SM2
    key: PrivateKey = Sm2PrivateKey.generate() if sm2 else generate_person_key()
    save_private_key(key, file, first_line(passphrase_file))
    if public is not None:
        public.write_text(public_text(key) + "\n", encoding="utf-8")
    report({"public_key": public_text(key), "thumbprint": thumbprint(key)}, as_json=as_json)


@person_app.command("add")
@reporting
def person_add(
    person: Annotated[str, typer.Argument(help="Pseudonymous id of the person.")],
    public_key: Annotated[
        Path, typer.Option(help="File with the person's public key, as `key new` prints it.")
    ],
    role: Annotated[list[str], typer.Option(help="Role; repeat for several.")],
    *,
    nationality: Annotated[str, typer.Option(help="ISO 3166-1 alpha-2.")] = "CN",
    entity_country: Annotated[str, typer.Option(help="Country of the entity they act for.")] = "CN",
    recipient: Annotated[
        str | None, typer.Option(help="Recipient organisation of a downstream reader.")
    ] = None,
    admin: Annotated[str | None, typer.Option("--as", help="Administrator who enrols.")] = None,
    key: Annotated[Path | None, typer.Option("--key", help="The administrator's private key.")] = None,
    key_passphrase_file: Annotated[
        Path | None, typer.Option("--key-passphrase-file", help="Opens the administrator's key.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Enrol a person. The first person is an administrator and needs no other; then an administrator enrols."""
    with opened() as gate:
        by = "bootstrap"
        with gate.database.read() as session:
            first = session.scalar(sa.select(sa.func.count()).select_from(PersonRow)) == 0
        if first and "administrator" not in role:
            raise InvalidRequestError(f"the first person must be an administrator (got roles {role})")
        if not first:
            if admin is None or key is None or key_passphrase_file is None:
                raise UnauthenticatedError(
                    "an administrator enrols people (expected --as, --key, --key-passphrase-file)"
                )
            actor, _ = acting(gate, admin, key, key_passphrase_file, "person.add")
            by = permit(gate, actor, "person.add", on=person).id
        enrol_person(
            gate,
            NewPerson(
                id=person,
                roles=role,
                nationality=nationality,
                entity_country=entity_country,
                public_jwk=text_of(public_key),
                recipient=recipient,
            ),
            by=by,
        )
    report({"person": person, "roles": role}, as_json=as_json, line=f"{person}: {', '.join(role)}")


@vehicle_app.command("add")
@reporting
def vehicle_add(
    vehicle: Annotated[str, typer.Argument(help="Id of the vehicle.")],
    public_key: Annotated[
        Path, typer.Option(help="File with the vehicle's public key, as `key new` prints it.")
    ],
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    unit: Annotated[
        str | None,
        typer.Option(help="Unit that it collects for; only a compliance officer states it."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Enrol a collection vehicle."""
    with opened() as gate:
        actor, private = acting(gate, person, key, key_passphrase_file, "vehicle.add")
        if unit is not None:
            permit(gate, actor, "source.assign", on=vehicle)  # before the vehicle is enrolled
        enrol_vehicle(gate, vehicle, text_of(public_key), actor=actor)
        if unit is not None:
            assign_source(gate, vehicle, unit, actor=actor, key=private)
    report({"vehicle": vehicle, "unit": unit}, as_json=as_json, line=f"{vehicle}: enrolled")


@vehicle_app.command("assign")
@reporting
def vehicle_assign(
    source: Annotated[str, typer.Argument(help="Id of the vehicle or carrier.")],
    unit: Annotated[str, typer.Option(help="Unit that it collects for.")],
    person: As,
    key: Key,
    key_passphrase_file: KeyPassphrase,
    *,
    since: Annotated[
        datetime, typer.Option(help="First day on which it does, UTC.", formats=["%Y-%m-%d"])
    ] = datetime(1970, 1, 1),  # noqa: DTZ001 (typer's parameters are naive; made UTC below)
    as_json: Json = False,
) -> None:
    """State which unit a vehicle or carrier collects for, from a day on."""
    with opened() as gate:
        actor, private = acting(gate, person, key, key_passphrase_file, "source.assign")
        digest = assign_source(gate, source, unit, since=since.replace(tzinfo=UTC), actor=actor, key=private)
    report(
        {"source": source, "unit": unit, "paper": digest},
        as_json=as_json,
        line=f"{source}: collects for {unit}",
    )
