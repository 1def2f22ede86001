"""Commands of simulation that derive from released data, or from a table of the user's own."""

from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.connecting import (
    KeyOption,
    PassphraseOption,
    PrincipalOption,
    PurposeOption,
    ReleaseKeyOption,
    UrlOption,
    connect,
)
from pipeline.mining.run import Connecting, connected, content_of
from pipeline.simulation.commanding import (
    AsJson,
    Gate,
    GateKey,
    GatePrincipal,
    GatePurpose,
    GateReleaseKey,
    GateUrl,
    Scenario,
    Seed,
    drivers_of,
    module,
    observations,
    registered_line,
    reported,
    require_one_kind,
    say,
    standing,
)

app = typer.Typer()

Releases = Annotated[list[str], typer.Argument(help="Ids of the releases.")]
Sealed = Annotated[
    Path, typer.Option(help="Folder for the sealed table; repeated, the command goes on there.")
]
SignalsOption = Annotated[
    Path | None, typer.Option(help="File (YAML) that says which CAN signals are what; needs --dbc.")
]
DbcOption = Annotated[Path | None, typer.Option(help="DBC of the CAN frames; needs --signals.")]
ItemsOption = Annotated[
    list[str] | None, typer.Option("--item", help="Name of an item to read; repeat for more. None says all.")
]
CacheOption = Annotated[
    Path | None,
    typer.Option(
        help="Folder of sealed copies: what was fetched once is not fetched again while you may read it."
    ),
]
RegisterOption = Annotated[
    str | None,
    typer.Option(help="Name under which the table is registered at the gate; by default that of the folder."),
]


@app.command()
def extract(
    releases: Releases,
    url: UrlOption,
    key: KeyOption,
    principal: PrincipalOption,
    purpose: PurposeOption,
    release_key: ReleaseKeyOption,
    out: Sealed,
    signals: SignalsOption = None,
    dbc: DbcOption = None,
    items: ItemsOption = None,
    cache: CacheOption = None,
    register: RegisterOption = None,
    passphrase_file: PassphraseOption = None,
    as_json: AsJson = False,  # noqa: FBT002 - a command-line flag
) -> None:
    """Find cut-ins in releases that you may read, and seal how each went.

    Tracks are those of nuScenes tables, and of the vehicle ahead in CAN logs and recordings. They are in memory
    only. What was sealed of a release is kept when another one cannot be read.

    Exit status: 0 sealed, 1 refused, unreachable, tampered with, or no cut-in was found, 2 wrong usage.
    """
    mapped = _signals(signals, dbc)
    connecting = Connecting(url, key, principal, purpose, release_key, passphrase_file)
    with reported(as_json=as_json), connected(connecting, cache, quiet=as_json) as run:
        derive, tables = module("derive"), module("sealed_tables")
        table = tables.SealedTable(out, run.key)
        done = derive.extract(
            run.client,
            run.source,
            table,
            releases,
            signals=mapped() if mapped else None,
            only=items or (),
            progress=run.progress,
        )
        artefact = derive.register_table(run.client, table, register or out.name)
        answers = module("answers")
        document = answers.derived_document(done, str(out), artefact)
        say(document, answers.derived_lines(done, str(out), artefact), as_json=as_json)


@app.command()
def calibrate(
    releases: Releases,
    url: UrlOption,
    key: KeyOption,
    principal: PrincipalOption,
    purpose: PurposeOption,
    release_key: ReleaseKeyOption,
    out: Sealed,
    signals: SignalsOption = None,
    dbc: DbcOption = None,
    items: ItemsOption = None,
    cache: CacheOption = None,
    register: RegisterOption = None,
    passphrase_file: PassphraseOption = None,
    as_json: AsJson = False,  # noqa: FBT002 - a command-line flag
) -> None:
    """Estimate drivers (IDM) from who follows whom in releases that you may read, and seal them as a population.

    Each parameter says whether the data determine it. What was sealed of a release is kept when another one cannot
    be read.

    Exit status: 0 sealed, 1 refused, unreachable, tampered with, or nobody follows another, 2 wrong usage.
    """
    mapped = _signals(signals, dbc)
    connecting = Connecting(url, key, principal, purpose, release_key, passphrase_file)
    with reported(as_json=as_json), connected(connecting, cache, quiet=as_json) as run:
        derive = module("derive")
        table = module("sealed_tables").SealedTable(out, run.key)
        done = derive.calibrate(
            run.client,
            run.source,
            table,
            releases,
            signals=mapped() if mapped else None,
            only=items or (),
            progress=run.progress,
        )
        artefact = derive.register_table(run.client, table, register or out.name)
        found = derive.population(run.client, table)
        answers = module("answers")
        document = answers.derived_document(done, str(out), artefact) | answers.population_document(found)
        lines = (*answers.derived_lines(done, str(out), artefact), *answers.population_lines(found))
        say(document, lines, as_json=as_json)


@app.command(name="extract-own")
def extract_own(
    tracks: Annotated[
        Path,
        typer.Argument(help="Table (CSV or Parquet) with columns clip, track, t, x, y and maybe length."),
    ],
    out: Annotated[Path, typer.Option(help="CSV file for the cut-ins found.")],
    ego: Annotated[str, typer.Option(help="Name of the automated vehicle's own track.")] = "ego",
    as_json: AsJson = False,  # noqa: FBT002 - a command-line flag
) -> None:
    """Find cut-ins in a table of tracks of your own that never came from a gate: nothing of it is sealed.

    Exit status: 0 written, 1 the table is unusable or holds no cut-in, 2 wrong usage.
    """
    with reported(as_json=as_json):
        count = module("tasks").extract_own(tracks, out, ego)
        say({"events": count, "out": str(out)}, [f"{out}: {count} cut-ins"], as_json=as_json)


@app.command()
def fit(
    template: Annotated[Path, typer.Option(help="Scenario file with bounds, KPI and what was not observed.")],
    out: Annotated[Path, typer.Option(help="Scenario file to write.")],
    events: Annotated[Path | None, typer.Argument(help="Folder of sealed cut-ins, of `extract`.")] = None,
    own_events: Annotated[
        Path | None,
        typer.Option(help="Instead: table (CSV or Parquet) of events that never came from a gate."),
    ] = None,
    drivers: Annotated[
        Path | None, typer.Option(help="Folder of sealed drivers, of `calibrate`, for what drivers decide.")
    ] = None,
    seed: Seed = 1,
    url: GateUrl = None,
    key: GateKey = None,
    principal: GatePrincipal = None,
    purpose: GatePurpose = None,
    release_key: GateReleaseKey = None,
    passphrase_file: PassphraseOption = None,
    as_json: AsJson = False,  # noqa: FBT002 - a command-line flag
) -> None:
    """Fit laws and a normal copula on observed events, and say how well they fit.

    Sealed tables open while the gateway lets you read every release that they are from; the scenario names these
    and is registered as made of them.

    Exit status: 0 written, 1 refused, unreachable, or the events carry no laws, 2 wrong usage.
    """
    gate = Gate(url, key, principal, purpose, release_key, passphrase_file)
    require_one_kind(events, own_events, gate, least=0 if drivers else 1, drivers=drivers)
    with reported(as_json=as_json):
        observed, population = observations(events, own_events, gate), drivers_of(drivers, gate)
        tables = observed, population
        with standing(gate, template, "fit", tables=tables, own=(own_events,)) as grounds:
            fitted, artefact = module("tasks").fit_scenario(
                template, observed, population, out, seed, grounds
            )
        answers = module("answers")
        document = answers.fit_document(fitted, str(out)) | {"artefact": artefact}
        lines = (*answers.fit_lines(fitted, str(out)), *registered_line(artefact))
        say(document, lines, as_json=as_json)


@app.command()
def register(
    scenario: Scenario,
    url: UrlOption,
    key: KeyOption,
    principal: PrincipalOption,
    purpose: PurposeOption,
    release_key: ReleaseKeyOption,
    passphrase_file: PassphraseOption = None,
    as_json: AsJson = False,  # noqa: FBT002 - a command-line flag
) -> None:
    """Register a fitted scenario that was changed since, so that whoever revokes its releases learns of it.

    `fit` registers what it writes; a changed file is another one. Its sources must be what the gateway's signed
    manifests are, and your grants on them live.

    Exit status: 0 registered, 1 refused, unreachable or no fitted scenario, 2 wrong usage.
    """
    client, _ = connect(
        url,
        key=key,
        principal=principal,
        purpose=purpose,
        release_key=release_key,
        passphrase_file=passphrase_file,
    )
    with reported(as_json=as_json), client:
        artefact, releases = module("tasks").register(client, scenario)
        say(
            {"artefact": artefact, "releases": list(releases)},
            [f"{artefact}: registered as derived from {', '.join(releases)}"],
            as_json=as_json,
        )


def _signals(path: Path | None, dbc: Path | None) -> Any:
    """What reads the file of signals once its refusal can be told; ``None`` without one."""
    if (path is None) is not (dbc is None):
        raise typer.BadParameter("--signals and --dbc come together")
    if path is None or dbc is None:
        return None
    content = content_of(path), content_of(dbc)

    def read() -> Any:
        from pipeline.mining.signal_file import read_signal_file  # noqa: PLC0415 - slow to load

        return read_signal_file(*content)

    return read
