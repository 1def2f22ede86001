"""Commands for scenarios and their reliability; ``gateway.cli`` mounts them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from pipeline.connecting import PassphraseOption
from pipeline.failing import EXIT_REFUSED
from pipeline.simulation.choice import Choice
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
    module,
    observations,
    registered_line,
    reported,
    require_one_kind,
    say,
    standing,
)
from pipeline.simulation.released_commands import app as released_app

app = typer.Typer(help="Scenarios from released tracks, and how rarely they fail.", no_args_is_help=True)

Folder = Annotated[
    Path,
    typer.Option(
        "--dir", help="Folder that keeps the runs of this scenario: repeated, a command goes on there."
    ),
]
BackEndOption = Annotated[
    Choice | None, typer.Option(help="Simulator in place of the one that the scenario names.")
]
RunCommand = Annotated[
    bool, typer.Option("--run-command", help="Let the command run that the scenario names as its simulator.")
]


@app.command()
def example(as_json: AsJson = False) -> None:  # noqa: FBT002 - a command-line flag
    """Print a scenario file to start from: a motorway cut-in with eight inputs.

    Exit status: 0 printed, 1 the extra `sim` is not installed, 2 wrong usage.
    """
    with reported(as_json=as_json):
        source = module("scenario_file").example_text()
        typer.echo(json.dumps({"scenario": source}, ensure_ascii=False) if as_json else source.rstrip())


@app.command()
def sample(
    scenario: Scenario,
    folder: Folder,
    out: Annotated[Path, typer.Option(help="CSV file for the concrete scenarios and how each went.")],
    runs: Annotated[int, typer.Option(min=1, help="How many to draw and run.")] = 1000,
    seed: Seed = 1,
    url: GateUrl = None,
    key: GateKey = None,
    principal: GatePrincipal = None,
    purpose: GatePurpose = None,
    release_key: GateReleaseKey = None,
    passphrase_file: PassphraseOption = None,
    back_end: BackEndOption = None,
    run_command: RunCommand = False,  # noqa: FBT002 - a command-line flag
    as_json: AsJson = False,  # noqa: FBT002 - a command-line flag
) -> None:
    """Draw concrete scenarios from the laws, run them, and write what came of each.

    Where the scenario names releases, it must stand at the gate, and the table is registered as made of it.

    Exit status: 0 written, 1 refused, unreachable, the scenario cannot be run or the simulator failed, 2 wrong
    usage.
    """
    gate = Gate(url, key, principal, purpose, release_key, passphrase_file)
    with reported(as_json=as_json):
        tasks = module("tasks")
        with (
            standing(gate, scenario, "sample") as grounds,
            tasks.opened(scenario, folder, seed=seed, run_command=run_command, choice=back_end) as opened,
        ):
            failed, artefact = tasks.sample(opened, out, runs=runs, grounds=grounds)
        say(
            {
                "out": str(out),
                "runs": runs,
                "failed": failed,
                "artefact": artefact,
                "rests_on": tasks.as_document(opened.rests_on),
            },
            [f"{out}: {runs} runs, {failed} failed", *registered_line(artefact)],
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
            help="Folder of the cut-ins that the laws were fitted on, to tell how far they move the probability."
        ),
    ] = None,
    own_events: Annotated[
        Path | None, typer.Option(help="The same, as a table (CSV or Parquet) that never came from a gate.")
    ] = None,
    design_points: Annotated[
        Path | None, typer.Option(help="CSV file to write for the likeliest failures, to `export` them.")
    ] = None,
    replicates: Annotated[int, typer.Option(min=20, help="How often the events are drawn anew.")] = 200,
    seed: Seed = 1,
    url: GateUrl = None,
    key: GateKey = None,
    principal: GatePrincipal = None,
    purpose: GatePurpose = None,
    release_key: GateReleaseKey = None,
    passphrase_file: PassphraseOption = None,
    back_end: BackEndOption = None,
    run_command: RunCommand = False,  # noqa: FBT002 - a command-line flag
    as_json: AsJson = False,  # noqa: FBT002 - a command-line flag
) -> None:
    """Estimate how rarely the scenario fails, and say whether that may be believed.

    A probability is stated only where two seeds agree and OpenTURNS does not contradict. Where no failure was
    found the answer is an upper bound. Where the scenario names releases, it must stand at the gate, and answer
    and design points are registered as made of it before they are shown.

    Exit status: 0 a probability or, where no failure was found, a bound; 1 refused, unreachable, not converged,
    the scenario cannot be run or the simulator failed; 2 wrong usage.
    """
    gate = Gate(url, key, principal, purpose, release_key, passphrase_file)
    require_one_kind(events, own_events, gate, least=0)
    with reported(as_json=as_json):
        tasks, answers = module("tasks"), module("answers")
        observed = observations(events, own_events, gate)
        with (
            standing(gate, scenario, "reliability", tables=(observed,), own=(own_events,)) as grounds,
            tasks.opened(scenario, folder, seed=seed, run_command=run_command, choice=back_end) as opened,
            _progress(quiet=as_json) as told,
        ):
            study, band = tasks.reliability(
                opened, runs=runs, events=observed and observed.columns, replicates=replicates, told=told
            )
            if design_points is not None:
                tasks.write_design_points(opened, study, design_points, grounds)
            document = answers.study_document(opened, study, band)
            document = tasks.register_answer(opened, "reliability", document, grounds)
        lines = (*answers.study_lines(study, band), *registered_line(document["artefact"]))
        say(document, lines, as_json=as_json)
    if document["verdict"] == "not_converged":
        raise typer.Exit(EXIT_REFUSED)


@app.command()
def sensitivity(
    scenario: Scenario,
    folder: Folder,
    runs: Annotated[int, typer.Option(min=1500, help="Runs of each estimate, one per input.")] = 5500,
    seed: Seed = 1,
    url: GateUrl = None,
    key: GateKey = None,
    principal: GatePrincipal = None,
    purpose: GatePurpose = None,
    release_key: GateReleaseKey = None,
    passphrase_file: PassphraseOption = None,
    back_end: BackEndOption = None,
    run_command: RunCommand = False,  # noqa: FBT002 - a command-line flag
    as_json: AsJson = False,  # noqa: FBT002 - a command-line flag
) -> None:
    """Tell which inputs matter: in the bulk (Morris, Sobol), and for failure with each held at its median.

    Where the scenario names releases, it must stand at the gate, and the answer is registered as made of it.

    Exit status: 0 told, 1 refused, unreachable, the scenario cannot be run or the simulator failed, 2 wrong usage.
    """
    gate = Gate(url, key, principal, purpose, release_key, passphrase_file)
    with reported(as_json=as_json):
        tasks, answers = module("tasks"), module("answers")
        with (
            standing(gate, scenario, "sensitivity") as grounds,
            tasks.opened(scenario, folder, seed=seed, run_command=run_command, choice=back_end) as opened,
            _progress(quiet=as_json) as told,
        ):
            influences, held = tasks.sensitivity(opened, runs=runs, told=told)
            document = answers.sensitivity_document(opened, influences, held)
            document = tasks.register_answer(opened, "sensitivity", document, grounds)
        lines = (*answers.sensitivity_lines(influences, held), *registered_line(document["artefact"]))
        say(document, lines, as_json=as_json)


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
    url: GateUrl = None,
    key: GateKey = None,
    principal: GatePrincipal = None,
    purpose: GatePurpose = None,
    release_key: GateReleaseKey = None,
    passphrase_file: PassphraseOption = None,
    as_json: AsJson = False,  # noqa: FBT002 - a command-line flag
) -> None:
    """Write concrete cut-ins as ASAM OpenSCENARIO XML 1.2, each with its road as OpenDRIVE 1.5.

    Where scenario or table rest on releases, both must stand at the gate, and the files are registered as made of
    them.

    Exit status: 0 written, 1 refused, unreachable, there is nothing to write or it cannot be written, 2 wrong
    usage.
    """
    gate = Gate(url, key, principal, purpose, release_key, passphrase_file)
    with (
        reported(as_json=as_json),
        standing(gate, scenario, "export", made_of_it=(concrete,)) as grounds,
    ):
        written, artefact = module("tasks").export_concrete(
            scenario, concrete, out, failed_only=failed_only, most=most, grounds=grounds
        )
        files = [str(each) for each in written]
        lines = [f"{out}: {len(files)} scenarios with their roads", *registered_line(artefact)]
        say({"scenarios": files, "artefact": artefact}, lines, as_json=as_json)


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Any]:
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), disable=quiet, transient=True) as bar:
        task = bar.add_task("starting", total=None)

        def told(stage: str, runs: int) -> None:
            bar.update(task, description=f"{stage}: {runs} runs")

        yield told


app.registered_commands += released_app.registered_commands
