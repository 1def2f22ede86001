"""What commands of simulation share: options, the connection where events are sealed, how they tell."""

import importlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.client import GatewayClient
from pipeline.connecting import connect
from pipeline.errors import PipelineError
from pipeline.failing import EXIT_REFUSED, report_failure
from pipeline.simulation.errors import BackEndError

if TYPE_CHECKING:
    from joserfc.jwk import OKPKey

    from pipeline.simulation.derive import Observed
    from pipeline.simulation.lineage import Grounds

Scenario = Annotated[Path, typer.Argument(help="Scenario file (YAML).")]
Seed = Annotated[int, typer.Option(min=0, help="Seed: same seed, same runs.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON document.")]
GateUrl = Annotated[
    str | None, typer.Option("--url", help="Origin of the gateway; needed for what rests on releases.")
]
GateKey = Annotated[
    Path | None,
    typer.Option("--key", help="PEM file of your Ed25519 private key; needed for what rests on releases."),
]
GatePrincipal = Annotated[
    str | None, typer.Option("--principal", help="Your id at the gateway; needed for what rests on releases.")
]
GatePurpose = Annotated[
    str | None,
    typer.Option("--purpose", help="The purpose that your grants name; needed for what rests on releases."),
]
GateReleaseKey = Annotated[
    Path | None,
    typer.Option(
        "--release-key",
        help="The operator's public release key (PEM or JWK); needed for what rests on releases.",
    ),
]


@dataclass(frozen=True, slots=True)
class Gate:
    """What a command's options say of the gateway; ``None`` where they say nothing."""

    url: str | None
    key: Path | None
    principal: str | None
    purpose: str | None
    release_key: Path | None
    passphrase_file: Path | None

    def connect(self) -> "tuple[GatewayClient, OKPKey]":
        """A client, and the private key that it signs with.

        Raises:
            typer.BadParameter: An option is missing or unusable; nothing was sent.
        """
        if (
            self.url is None
            or self.key is None
            or self.principal is None
            or self.purpose is None
            or self.release_key is None
        ):
            raise typer.BadParameter(
                "what rests on releases is used while the gateway lets you: give --url, --key, --principal, "
                "--purpose and --release-key"
            )
        return connect(
            self.url,
            key=self.key,
            principal=self.principal,
            purpose=self.purpose,
            release_key=self.release_key,
            passphrase_file=self.passphrase_file,
        )


def require_one_kind(
    events: Path | None, own_events: Path | None, gate: Gate, *, least: int, drivers: Path | None = None
) -> None:
    """Make sure that at most one table of events is named, at least so many, and a gateway where it is sealed.

    Raises:
        typer.BadParameter: It is otherwise.
    """
    given = [events, own_events].count(None)
    if not least <= 2 - given <= 1:
        raise typer.BadParameter("give sealed events or --own-events, one of both")
    if events is not None or drivers is not None:
        client, _ = gate.connect()
        client.close()


def observations(events: Path | None, own_events: Path | None, gate: Gate) -> "Observed | None":
    """The events that the options name; ``None`` for none.

    Raises:
        PipelineError: The gateway refuses, or the table cannot be used.
    """
    derive = module("derive")
    if own_events is not None:
        own: Observed = derive.Observed(columns=module("tasks").read_events(own_events))
        return own
    if events is None:
        return None
    client, key = gate.connect()
    with client:
        sealed: Observed = derive.sealed_events(client, module("sealed_tables").SealedTable(events, key))
        return sealed


def drivers_of(drivers: Path | None, gate: Gate) -> "Observed | None":
    """The drivers that the option names; ``None`` for none.

    Raises:
        PipelineError: The gateway refuses, or the table cannot be used.
    """
    if drivers is None:
        return None
    client, key = gate.connect()
    with client:
        sealed: Observed = module("derive").sealed_drivers(
            client, module("sealed_tables").SealedTable(drivers, key)
        )
        return sealed


@contextmanager
def standing(
    gate: Gate,
    scenario: Path,
    use: str,
    *,
    tables: "Sequence[Observed | None]" = (),
    made_of_it: Sequence[Path] = (),
    own: Sequence[Path | None] = (),
) -> "Iterator[Grounds | None]":
    """What a command rests on, known to the gate and standing there; ``None`` where all of it is the user's own.

    Raises:
        typer.BadParameter: It rests on releases, and an option of the connection is missing.
        PipelineError: As ``lineage.standing``.
    """
    with module("lineage").standing(
        scenario, lambda: gate.connect()[0], use, tables=tables, made_of_it=made_of_it, own=own
    ) as grounds:
        yield grounds


def registered_line(artefact: str | None) -> Iterable[str]:
    """Under which id something is registered, for people; nothing where it is not."""
    return () if artefact is None else (f"已登记 / registered as {artefact}",)


def module(name: str) -> Any:
    """A module of this package that needs the extra ``sim``.

    Raises:
        BackEndError: The extra is not installed.
    """
    try:
        return importlib.import_module(f"pipeline.simulation.{name}")
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("pipeline"):
            raise
        raise BackEndError(f"{error.name} is not installed (install fleetgate[sim])") from error


def say(document: Mapping[str, Any], lines: Iterable[str], *, as_json: bool) -> None:
    """Tell a result: one JSON document, or lines for people."""
    if as_json:
        typer.echo(json.dumps(document, ensure_ascii=False))
        return
    for line in lines:
        typer.echo(line)


@contextmanager
def reported(*, as_json: bool) -> Iterator[None]:
    """Report what stops a command, and leave with status 1."""
    try:
        yield
    except PipelineError as error:
        report_failure(error, as_json=as_json)
        raise typer.Exit(EXIT_REFUSED) from error
