"""What the commands do: files in, files out, and a record of what each result rests on."""

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from filelock import FileLock, Timeout

from pipeline.artefacts import ArtefactKind, DerivedArtefact
from pipeline.client import GatewayClient
from pipeline.publishing import known_as, note_registered, require_standing
from pipeline.simulation.back_ends import chosen, open_back_end
from pipeline.simulation.backend import Floats
from pipeline.simulation.choice import Choice
from pipeline.simulation.cut_in import PARAMETERS
from pipeline.simulation.cut_in_events import cut_ins
from pipeline.simulation.derive import Observed
from pipeline.simulation.errors import OutputError, RunFolderError, ScenarioError, SettingsError, TracksError
from pipeline.simulation.export import cut_in_files
from pipeline.simulation.fitting import Fit, fit, fit_drivers
from pipeline.simulation.limit_state import LimitState
from pipeline.simulation.lineage import Grounds
from pipeline.simulation.recorded import RecordedRuns
from pipeline.simulation.reliability.bootstrap import Band, bootstrap_band
from pipeline.simulation.reliability.estimate import Settings, estimate
from pipeline.simulation.reliability.study import Study, StudySettings, study
from pipeline.simulation.scenario import LogicalScenario
from pipeline.simulation.scenario_file import read_scenario, write_scenario
from pipeline.simulation.sealed_tables import About
from pipeline.simulation.sensitivity import Held, Influence, bulk, hold_each
from pipeline.simulation.tracks import columns_of, read_tracks

STUDY_FILE: Final = "study.json"
BATCH: Final = 250

Told = Callable[[str, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RestsOn:
    """What a result rests on: enough to repeat it.

    Attributes:
        scenario: Name of the scenario.
        scenario_sha256: Digest of its canonical file.
        back_end: Identity of the simulator.
        sources: Releases that its laws were fitted on.
        version: Version of Fleetgate.
        seed: Seed.
    """

    scenario: str
    scenario_sha256: str
    back_end: str
    sources: tuple[Mapping[str, str], ...]
    version: str
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A scenario ready to run, its answers kept in a folder."""

    limit_state: LimitState
    rests_on: RestsOn
    runs: RecordedRuns


def extract_own(tracks: Path, out: Path, ego: str) -> int:
    """Write the cut-ins of a table of tracks that never came from a gate, in the open; how many there are.

    Raises:
        TracksError: The table is unusable or holds no cut-in.
        OutputError: The file cannot be written.
    """
    found = cut_ins(read_tracks(tracks), ego)
    _write_table(found, out)
    return found.height


def read_events(path: Path) -> dict[str, Floats]:
    """Columns of numbers of a table of events.

    Raises:
        TracksError: It is no such table, or holds no event.
    """
    return columns_of(read_tracks(path), path.name)


def fit_scenario(
    template: Path,
    observed: Observed | None,
    drivers: Observed | None,
    out: Path,
    seed: int,
    grounds: Grounds | None = None,
) -> tuple[Fit, str | None]:
    """Fit a template on events, on drivers or on both, and write the scenario, which names what they rest on.

    Returns:
        The fit, and the scenario's id at the gate; ``None`` where it rests on no release.

    Raises:
        ScenarioError: The template is none.
        FitError: They carry no laws.
        OutputError: The file cannot be written.
        UnregisteredError: The gate does not register the scenario; it is kept sealed.
    """
    read = read_scenario(template)
    names = tuple(each.name for each in read.inputs)
    fitted = Fit(scenario=read, events=0, marginals=(), not_observed=names, copula_p_value=None)
    if observed is not None:
        fitted = fit(read, observed.columns, seed)
    if drivers is not None:
        fitted = fit_drivers(fitted, drivers.columns, seed)
    tables = [each.about for each in (observed, drivers) if each and each.about]
    scenario = _resting_on(fitted.scenario, tables, grounds)
    content = write_scenario(scenario).encode()
    if grounds is not None:
        return fitted, grounds.publish(out, content, ArtefactKind.SCENARIO, _laws(scenario))
    _write(out, content)
    return fitted, None


@contextmanager
def opened(
    scenario: Path, folder: Path, *, seed: int, run_command: bool, choice: Choice | None = None
) -> Iterator[Opened]:
    """Open a scenario with a folder of its own for its answers; one process at a time.

    Raises:
        ScenarioError: The scenario cannot be run.
        RunFolderError: The folder belongs to another scenario, cannot be used, or is in use.
    """
    read = read_scenario(scenario)
    back_end = open_back_end(chosen(read.back_end, choice), run_command=run_command)
    runs = RecordedRuns(back_end, folder / "runs", batch=BATCH)
    rests_on = RestsOn(
        scenario=read.name,
        scenario_sha256=sha256(write_scenario(read).encode()).hexdigest(),
        back_end=back_end.digest,
        sources=read.sources,
        version=version("fleetgate"),
        seed=seed,
    )
    lock = FileLock(folder / "lock")
    try:
        with lock.acquire(blocking=False):
            _require_own(folder, rests_on)
            yield Opened(limit_state=LimitState(read, runs), rests_on=rests_on, runs=runs)
    except Timeout as error:
        raise RunFolderError(f"{folder} is in use by another process") from error


def reliability(
    opened_: Opened, *, runs: int, events: Mapping[str, Floats] | None, replicates: int, told: Told
) -> tuple[Study, Band | None]:
    """A study, and the band of its fitted laws where the events are given and a probability may be stated.

    Raises:
        SimulationError: Whatever stops it; answers so far are kept.
    """
    settings = StudySettings(each=Settings.of_budget(runs))
    result = study(opened_.limit_state, settings, opened_.rests_on.seed, told)
    if events is None or result.judgement.probability is None:
        return result, None
    scenario = opened_.limit_state.scenario
    observed = {each.name: events[each.name] for each in scenario.inputs if each.name in events}
    if not observed:
        raise SettingsError("the events hold none of the scenario's inputs")
    band = bootstrap_band(
        scenario,
        opened_.limit_state.law,
        observed,
        result.estimates,
        replicates=replicates,
        seed=opened_.rests_on.seed,
    )
    return result, band


def sensitivity(opened_: Opened, *, runs: int, told: Told) -> tuple[tuple[Influence, ...], tuple[Held, ...]]:
    """Influence in the bulk, and the probability with each input held.

    Raises:
        SimulationError: Whatever stops it; answers so far are kept.
    """
    state, seed = opened_.limit_state, opened_.rests_on.seed
    influences = bulk(state, trajectories=40, base=512, seed=seed)
    told("bulk", state.runs)
    settings = Settings.of_budget(runs)
    free = estimate(state, settings, seed)
    told("all inputs free", state.runs)
    return influences, hold_each(state, free, settings, seed + 1, told)


def sample(
    opened_: Opened, out: Path, *, runs: int, grounds: Grounds | None = None
) -> tuple[int, str | None]:
    """Write concrete scenarios drawn from the laws, their figures of merit and whether they fail.

    Returns:
        How many fail, and the table's id at the gate; ``None`` where the scenario rests on no release.

    Raises:
        UnregisteredError: The gate does not register the table; it is kept sealed.
        SimulationError: Whatever stops it; answers so far are kept.
    """
    state = opened_.limit_state
    points = np.random.default_rng(opened_.rests_on.seed).standard_normal((runs, state.dimension))
    done = state.run(state.law.to_physical(points))
    columns = {each.name: done.physical[:, i] for i, each in enumerate(state.law.inputs)}
    figures = {name: getattr(done.outcomes, name) for name in ("min_gap", "min_ttc", "impact_speed")}
    table = pl.DataFrame({**columns, **figures, "failed": done.failed})
    return int(done.failed.sum()), _write_concrete(table, out, opened_, "sample", grounds)


def export_concrete(
    scenario: Path,
    concrete: Path,
    folder: Path,
    *,
    failed_only: bool,
    most: int,
    grounds: Grounds | None = None,
) -> tuple[tuple[Path, ...], str | None]:
    """Write rows of a table of concrete scenarios as OpenSCENARIO, each with its road.

    Returns:
        The scenarios' files, and the id of all files at the gate; ``None`` where they rest on no release.

    Raises:
        RefusedError, UnreachableError: The gate does not register them: none is written.
        ScenarioError: The scenario is no cut-in, or a row lacks one of its inputs.
        TracksError: The table is none, or holds no row to export.
        OutputError: A file cannot be written.
    """
    read = read_scenario(scenario)
    if read.back_end.get("kind") == "command":
        raise ScenarioError("back_end.kind (got 'command', expected a cut-in, which is what is exported)")
    table = read_tracks(concrete)
    columns = {each.name for each in PARAMETERS} & set(table.columns)
    if missing := sorted({each.name for each in read.inputs} - columns):
        raise ScenarioError(f"{concrete.name} lacks the inputs {', '.join(missing)}")
    if failed_only:
        if table.schema.get("failed") != pl.Boolean:
            raise TracksError(f"{concrete.name} has no column 'failed' of true and false")
        table = table.filter(pl.col("failed"))
    if table.is_empty():
        raise TracksError(f"{concrete.name} holds no row to export")
    made_at = datetime.now(UTC)
    made: dict[str, bytes] = {}
    for number, row in enumerate(table.head(most).iter_rows(named=True), 1):
        values = {**read.constants, **{name: row[name] for name in columns}}
        made |= cut_in_files(f"cut-in-{number:04}", values, folder, made_at)
    artefact = None
    if grounds is not None:
        stated = {"export": "OpenSCENARIO 1.2", "scenarios": len(made) // 2}
        artefact = grounds.publish_files(folder, made, ArtefactKind.SCENARIO, stated)
    else:
        _make(folder)
        for name, content in made.items():
            _write(folder / name, content)
    return tuple((folder / name).resolve() for name in made if name.endswith(".xosc")), artefact


def register(client: GatewayClient, scenario: Path) -> tuple[str, tuple[str, ...]]:
    """Register a scenario at the gateway as derived from its sources; its id there, and the releases.

    One that is registered as it is keeps its id, which lies beside the file.

    Raises:
        RevokedArtefactError: It is registered, and a release below it was revoked.
        ScenarioError: The scenario is none, names no source, or a source is not what the gateway's manifest is.
        RefusedError: The gateway refuses: no live grant on a release, or it is revoked.
        UnreachableError: It cannot be reached.
    """
    read = read_scenario(scenario)
    if not read.sources:
        raise ScenarioError("sources (got none, expected the releases that the laws were fitted on)")
    for each in read.sources:
        digest = client.manifest(each["release"]).digest
        if digest != each["digest"]:
            raise ScenarioError(f"source {each['release']}: digest (got {each['digest']}, expected {digest})")
    releases = tuple(each["release"] for each in read.sources)
    digest = sha256(scenario.read_bytes()).hexdigest()
    if digest in known_as(scenario):
        return require_standing(scenario, client), releases
    artefact = client.register(
        DerivedArtefact(
            kind=ArtefactKind.SCENARIO,
            name=read.name,
            sha256=digest,
            code=f"fleetgate {version('fleetgate')}",
            parameters=_laws(read),
            releases=releases,
            artefacts=read.artefacts,
        )
    )
    note_registered(scenario, digest, artefact)
    return artefact, releases


def register_answer(
    opened_: Opened, what: str, answer: Mapping[str, Any], grounds: Grounds | None
) -> dict[str, Any]:
    """The answer of a study as it may be shown: registered where the scenario rests on releases.

    Raises:
        RefusedError, UnreachableError: The gate does not register it: it may not be shown.
    """
    if grounds is None:
        return {**answer, "artefact": None}
    return grounds.register(f"{opened_.rests_on.scenario}: {what}", answer, _ran(opened_, what))


def write_design_points(
    opened_: Opened, result: Study, out: Path, grounds: Grounds | None = None
) -> str | None:
    """Write the design points of both seeds as concrete scenarios, nearest to the origin first.

    Returns:
        The table's id at the gate; ``None`` where the scenario rests on no release.

    Raises:
        UnregisteredError: The gate does not register the table; it is kept sealed.
        OutputError: The file cannot be written.
    """
    law = opened_.limit_state.law
    points = np.concatenate([each.design_points for each in result.estimates])
    points = points[np.argsort(np.linalg.norm(points, axis=1))]
    physical = law.to_physical(points) if len(points) else np.empty((0, law.dimension))
    columns = {each.name: physical[:, i] for i, each in enumerate(law.inputs)}
    table = pl.DataFrame({**columns, "distance": np.linalg.norm(points, axis=1)})
    return _write_concrete(table, out, opened_, "design points", grounds)


def _write_concrete(
    table: pl.DataFrame, out: Path, opened_: Opened, what: str, grounds: Grounds | None
) -> str | None:
    """Write concrete scenarios; where they rest on releases, only once the gate knows them."""
    if grounds is None:
        _write_table(table, out)
        return None
    content = table.write_csv().encode()
    return grounds.publish(out, content, ArtefactKind.DATA_SET, {**_ran(opened_, what), "rows": table.height})


def _ran(opened_: Opened, what: str) -> dict[str, Any]:
    """What a result was made with, as its artefact states it."""
    stated = opened_.rests_on
    return {
        "made": what,
        "scenario_sha256": stated.scenario_sha256,
        "simulator": stated.back_end,
        "seed": stated.seed,
    }


def _laws(scenario: LogicalScenario) -> dict[str, Any]:
    """What a scenario says, as its artefact states it."""
    return {
        "inputs": {each.name: each.family for each in scenario.inputs},
        "dependence": "independent" if scenario.spearman is None else "normal copula",
        "simulator": str(scenario.back_end["kind"]),
    }


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror}") from error


def _write(out: Path, content: bytes) -> None:
    try:
        out.write_bytes(content)
    except OSError as error:
        raise OutputError(f"{out} cannot be written: {error.strerror}") from error


def _write_table(table: pl.DataFrame, out: Path) -> None:
    try:
        table.write_csv(out)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise OutputError(f"{out} cannot be written: {error}") from error


def _resting_on(
    scenario: LogicalScenario, tables: Sequence[About], grounds: Grounds | None
) -> LogicalScenario:
    """The scenario with all that it rests on: what its template did, and the tables."""
    if grounds is None:
        return scenario
    named = (*scenario.sources, *(each for table in tables for each in table.sources))
    sources = {each["release"]: each for each in named}
    return replace(scenario, sources=tuple(sources.values()), artefacts=grounds.artefacts)


def _require_own(folder: Path, rests_on: RestsOn) -> None:
    """Claim a fresh folder, or make sure that it is this scenario's: its file names what it was made for."""
    path = folder / STUDY_FILE
    mine = {"scenario_sha256": rests_on.scenario_sha256, "back_end": rests_on.back_end}
    if path.exists():
        try:
            stated: Any = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunFolderError(f"{path} cannot be read: {error}") from error
        if stated != mine:
            raise RunFolderError(f"{folder} belongs to another scenario or simulator (give another folder)")
        return
    with tempfile.NamedTemporaryFile("w", dir=folder, suffix=".part", delete=False, encoding="utf-8") as file:
        json.dump(mine, file)
        file.flush()
        os.fsync(file.fileno())
    Path(file.name).rename(path)


def as_document(value: Any) -> Any:
    """Dataclasses and arrays as what JSON can hold."""
    return json.loads(json.dumps(asdict(value), default=lambda each: np.asarray(each).tolist()))
