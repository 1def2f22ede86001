"""Commands for scenarios and their reliability; ``gateway.cli`` mounts them."""

import importlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from pipeline.connecting import (
    KeyOption,
    PassphraseOption,
    PrincipalOption,
    PurposeOption,
    ReleaseKeyOption,
    UrlOption,
    connect,
)
from pipeline.errors import PipelineError
from pipeline.failing import EXIT_REFUSED, report_failure
from pipeline.simulation.errors import BackEndError

app = typer.Typer(help="Scenarios from released tracks, and how rarely they fail.", no_args_is_help=True)

Scenario = Annotated[Path, typer.Argument(help="Scenario file (YAML).")]
Folder = Annotated[
    Path,
    typer.Option(
        "--dir", help="Folder that keeps the runs of this scenario: repeated, a command goes on there."
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="Seed: same seed, same runs.")]
RunCommand = Annotated[
    bool, typer.Option("--run-command", help="Let the command run that the scenario names as its simulator.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON document.")]


@app.command()
def example(as_json: AsJson = False) -> None:  # noqa: FBT002 - a command-line flag
    """Print a scenario file to start from: a motorway cut-in with eight inputs.

    Exit status: 0 printed, 1 the extra `sim` is not installed, 2 wrong usage.
    """
    with _reported(as_json=as_json):
        source = _module("scenario_file").example_text()
        typer.echo(json.dumps({"scenario": source}, ensure_ascii=False) if as_json else source.rstrip())


@app.command()
def extract(
    tracks: Annotated[
        Path,
        typer.Argument(help="Table (CSV or Parquet) with columns clip, track, t, x, y and maybe length."),
    ],
    out: Annotated[Path, typer.Option(help="CSV file for the cut-ins found.")],
    ego: Annotated[str, typer.Option(help="Name of the automated vehicle's own track.")] = "ego",
    as_json: AsJson = False,  # noqa: FBT002 - a command-line flag
) -> None:
    """Find cut-ins in a table of tracks, and how each went.

    Exit status: 0 written, 1 the table is unusable or holds no cut-in, 2 wrong usage.
    """
    with _reported(as_json=as_json):
        count = _module("tasks").extract(tracks, out, ego)
        _say({"events": count, "out": str(out)}, [f"{out}: {count} cut-ins"], as_json=as_json)


@app.command()
def fit(
    events: Annotated[Path, typer.Argument(help="Table (CSV or Parquet) with a column per observed input.")],
    template: Annotated[Path, typer.Option(help="Scenario file with bounds, KPI and what was not observed.")],
    out: Annotated[Path, typer.Option(help="Scenario file to write.")],
    source: Annotated[
        list[str] | None,
        typer.Option(help="Release that the events come from, as id@digest; repeat for several."),
    ] = None,
    seed: Seed = 1,
    as_json: AsJson = False,  # noqa: FBT002 - a command-line flag
) -> None:
    """Fit laws and a normal copula on observed events, and say how well they fit.

    Exit status: 0 written, 1 the events carry no laws, 2 wrong usage.
    """
    sources = [_source(each) for each in source or ()]
    with _reported(as_json=as_json):
        fitted = _module("tasks").fit_scenario(template, events, out, sources, seed)
        answers = _module("answers")
        _say(answers.fit_document(fitted, str(out)), answers.fit_lines(fitted, str(out)), as_json=as_json)


@app.command()
def sample(
    scenario: Scenario,
    folder: Folder,
    out: Annotated[Path, typer.Option(help="CSV file for the concrete scenarios and how each went.")],
    runs: Annotated[int, typer.Option(min=1, help="How many to draw and run.")] = 1000,
    seed: Seed = 1,
    run_command: RunCommand = False,  # noqa: FBT002 - a command-line flag
    as_json: AsJson = False,  # noqa: FBT002 - a command-line flag
) -> None:
    """Draw concrete scenarios from the laws, run them, and write what came of each.

    Exit status: 0 written, 1 the scenario cannot be run or the simulator failed, 2 wrong usage.
    """
    with _reported(as_json=as_json):
        tasks = _module("tasks")
        with tasks.opened(scenario, folder, seed=seed, run_command=run_command) as opened:
            failed = tasks.sample(opened, out, runs=runs)
        _say(
            {"out": str(out), "runs": runs, "failed": failed, "rests_on": tasks.as_document(opened.rests_on)},
            [f"{out}: {runs} runs, {failed} failed"],
            as_json=as_json,
        )


@app.command()
def reliability(
    scenario: Scenario,
    folder: Folder,
    runs: Annotated[
        int, typer.Option(min=1500, help="Runs of each of two seeds; cross-check and margins come on top.")
    ] = 5500,
    events: Annotated[
        Path | None,
        typer.Option(
            help="The events that the laws were fitted on, to tell how far they move the probability."
        ),
    ] = None,
    design_points: Annotated[
        Path | None, typer.Option(help="CSV file to write for the likeliest failures, to `export` them.")
    ] = None,
    replicates: Annotated[int, typer.Option(min=20, help="How often the events are drawn anew.")] = 200,
    seed: Seed = 1,
    run_command: RunCommand = False,  # noqa: FBT002 - a command-line flag
    as_json: AsJson = False,  # noqa: FBT002 - a command-line flag
) -> None:
    """Estimate how rarely the scenario fails, and say whether that may be believed.

    A probability is stated only where two seeds agree and OpenTURNS does not contradict. Where no failure was
    found the answer is an upper bound.

    Exit status: 0 a probability or, where no failure was found, a bound; 1 not converged, the scenario cannot
    be run or the simulator failed; 2 wrong usage.
    """
    with _reported(as_json=as_json):
        tasks, answers = _module("tasks"), _module("answers")
        observed = None if events is None else tasks.read_events(events)
        with (
            tasks.opened(scenario, folder, seed=seed, run_command=run_command) as opened,
            _progress(quiet=as_json) as told,
        ):
            study, band = tasks.reliability(
                opened, runs=runs, events=observed, replicates=replicates, told=told
            )
        if design_points is not None:
            tasks.write_design_points(opened, study, design_points)
        document = answers.study_document(opened, study, band)
        _say(document, answers.study_lines(study, band), as_json=as_json)
    if document["verdict"] == "not_converged":
        raise typer.Exit(EXIT_REFUSED)


@app.command()
def sensitivity(
    scenario: Scenario,
    folder: Folder,
    runs: Annotated[int, typer.Option(min=1500, help="Runs of each estimate, one per input.")] = 5500,
    seed: Seed = 1,
    run_command: RunCommand = False,  # noqa: FBT002 - a command-line flag
    as_json: AsJson = False,  # noqa: FBT002 - a command-line flag
) -> None:
    """Tell which inputs matter: in the bulk (Morris, Sobol), and for failure with each held at its median.

    Exit status: 0 told, 1 the scenario cannot be run or the simulator failed, 2 wrong usage.
    """
    with _reported(as_json=as_json):
        tasks, answers = _module("tasks"), _module("answers")
        with (
            tasks.opened(scenario, folder, seed=seed, run_command=run_command) as opened,
            _progress(quiet=as_json) as told,
        ):
            influences, held = tasks.sensitivity(opened, runs=runs, told=told)
        document = answers.sensitivity_document(opened, influences, held)
        _say(document, answers.sensitivity_lines(influences, held), as_json=as_json)


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
    """Register a fitted scenario at the gateway, so that whoever revokes its releases learns of it.

    Its sources must be what the gateway's signed manifests are, and your grants on them live.

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
    with _reported(as_json=as_json), client:
        artefact, releases = _module("tasks").register(client, scenario)
        _say(
            {"artefact": artefact, "releases": list(releases)},
            [f"{artefact}: registered as derived from {', '.join(releases)}"],
            as_json=as_json,
        )


@app.command()
def export(
    scenario: Scenario,
    concrete: Annotated[
        Path,
        typer.Option(help="Table of concrete scenarios, of `sample` or of `reliability --design-points`."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the files; it is made where it is missing.")],
    failed_only: Annotated[bool, typer.Option("--failed-only", help="Only those that failed.")] = False,  # noqa: FBT002 - a command-line flag
    most: Annotated[int, typer.Option(min=1, help="Most scenarios to write.")] = 100,
    as_json: AsJson = False,  # noqa: FBT002 - a command-line flag
) -> None:
    """Write concrete cut-ins as ASAM OpenSCENARIO XML 1.2, each with its road as OpenDRIVE 1.5.

    Exit status: 0 written, 1 there is nothing to write or it cannot be written, 2 wrong usage.
    """
    with _reported(as_json=as_json):
        written = _module("tasks").export_concrete(
            scenario, concrete, out, failed_only=failed_only, most=most
        )
        files = [str(each) for each in written]
        _say({"scenarios": files}, [f"{out}: {len(files)} scenarios with their roads"], as_json=as_json)


def _module(name: str) -> Any:
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


def _source(stated: str) -> Mapping[str, str]:
    release, separator, digest = stated.partition("@")
    if not (release and separator and digest):
        raise typer.BadParameter(f"--source (got {stated!r}, expected id@digest)")
    return {"release": release, "digest": digest}


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Any]:
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), disable=quiet, transient=True) as bar:
        task = bar.add_task("starting", total=None)

        def told(stage: str, runs: int) -> None:
            bar.update(task, description=f"{stage}: {runs} runs")

        yield told


def _say(document: Mapping[str, Any], lines: Iterable[str], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(document, ensure_ascii=False))
        return
    for line in lines:
        typer.echo(line)


@contextmanager
def _reported(*, as_json: bool) -> Iterator[None]:
    """Report what stops a command, and leave with status 1."""
    try:
        yield
    except PipelineError as error:
        report_failure(error, as_json=as_json)
        raise typer.Exit(EXIT_REFUSED) from error
