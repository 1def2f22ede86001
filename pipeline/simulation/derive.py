"""Tables derived of releases that are read under grants: sealed, resumed, registered, read again."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import polars as pl

from pipeline.client import GatewayClient
from pipeline.manifest import ReleaseItem, ReleaseManifest
from pipeline.mining.load import ReleaseSource
from pipeline.mining.signal_file import CanSignals
from pipeline.simulation.backend import Floats
from pipeline.simulation.calibration import APART, BOUNDS, Driver, calibrated
from pipeline.simulation.cut_in_events import CutInRule, looked_for
from pipeline.simulation.errors import TracksError
from pipeline.simulation.following import LEAST_SECONDS, followers
from pipeline.simulation.released_tracks import EGO, released_tracks
from pipeline.simulation.sealed_tables import About, SealedTable, extended
from pipeline.simulation.tracks import columns_of

CUT_INS: Final = "cut_ins"
DRIVERS: Final = "drivers"
DRIVER_COLUMNS: Final = {
    "clip": pl.String,
    "track": pl.String,
    "automated": pl.Boolean,
    "seconds": pl.Float64,
    "leaders": pl.Int64,
    "mixed_error": pl.Float64,
    "independent": pl.Float64,
    **{
        column: kind
        for name in BOUNDS
        for column, kind in (
            (name, pl.Float64),
            (f"{name}_relative_error", pl.Float64),
            (f"{name}_determined", pl.Boolean),
        )
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """A table that was sealed.

    Attributes:
        about: What it is and rests on.
        kept: Releases whose rows were there from before.
        passed_over: Items of the others that were not used, with the reason, by release.
    """

    about: About
    kept: tuple[str, ...]
    passed_over: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """One parameter of the drivers of a table.

    Attributes:
        name: The parameter.
        unit: Its unit.
        automated: Whether the drivers are the automated vehicle, or the traffic around.
        drivers: How many there are.
        determined: For how many of them the data determine it.
        quartiles: Of those, the quartiles; empty where there are none.
    """

    name: str
    unit: str
    automated: bool
    drivers: int
    determined: int
    quartiles: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """Columns of numbers that were observed, and the sealed table that they are from; ``None`` for a file's."""

    columns: Mapping[str, Floats]
    about: About | None = None


def extract(
    client: GatewayClient,
    source: ReleaseSource,
    table: SealedTable,
    releases: Sequence[str],
    *,
    signals: CanSignals | None,
    only: Sequence[str],
    progress: Callable[[ReleaseItem, int, int], None],
) -> Derived:
    """Seal the cut-ins of releases, read under grants.

    Args:
        client: Connection to the gate.
        source: Where items are read.
        table: Where the cut-ins go; releases that are there already are not read again.
        releases: Ids of the releases.
        signals: What to take of CAN frames.
        only: Names of the items to read; none says all.
        progress: Called before each item with its number from 1 and how many there are.

    Raises:
        ReleaseEndedError: The gate refuses a release; what was sealed of others is kept.
        TracksError: A release tells of no other vehicle, or none has a cut-in; what was sealed of others is kept.
        PipelineError: The gate cannot answer, or what arrives is not what was signed.
    """

    def found(tracks: pl.DataFrame) -> tuple[pl.DataFrame, int]:
        return looked_for(tracks, EGO)

    parameters = {"rule": asdict(CutInRule())}
    asked = _Asked(
        client=client, source=source, releases=releases, signals=signals, only=only, progress=progress
    )
    done = _derived(table, CUT_INS, parameters, asked, found)
    if not sum(each.rows for each in done.about.parts):
        pairs = sum(each.looked_at for each in done.about.parts)
        raise TracksError(f"no cut-in among {pairs} pairs of tracks in {', '.join(releases)}")
    return done


def calibrate(
    client: GatewayClient,
    source: ReleaseSource,
    table: SealedTable,
    releases: Sequence[str],
    *,
    signals: CanSignals | None,
    only: Sequence[str],
    progress: Callable[[ReleaseItem, int, int], None],
) -> Derived:
    """Seal the drivers of releases, read under grants: a row for each vehicle that follows another.

    Arguments as of ``extract``.

    Raises:
        ReleaseEndedError: The gate refuses a release; what was sealed of others is kept.
        TracksError: A release tells of no other vehicle, or nobody follows another; likewise.
        PipelineError: The gate cannot answer, or what arrives is not what was signed.
    """

    def found(tracks: pl.DataFrame) -> tuple[pl.DataFrame, int]:
        rows = [_row(calibrated(each)) for each in followers(tracks, EGO)]
        return pl.DataFrame(rows, schema=DRIVER_COLUMNS), tracks.select("clip", "track").n_unique()

    parameters = {"bounds": {name: list(each) for name, each in BOUNDS.items()}, "apart": APART}
    asked = _Asked(
        client=client, source=source, releases=releases, signals=signals, only=only, progress=progress
    )
    done = _derived(table, DRIVERS, parameters, asked, found)
    if not sum(each.rows for each in done.about.parts):
        tracks = sum(each.looked_at for each in done.about.parts)
        raise TracksError(
            f"nobody among {tracks} tracks in {', '.join(releases)} follows another for {LEAST_SECONDS:g} s"
        )
    return done


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What a derivation is of."""

    client: GatewayClient
    source: ReleaseSource
    releases: Sequence[str]
    signals: CanSignals | None
    only: Sequence[str]
    progress: Callable[[ReleaseItem, int, int], None]


def _derived(
    table: SealedTable,
    kind: str,
    parameters: Mapping[str, Any],
    asked: _Asked,
    found: Callable[[pl.DataFrame], tuple[pl.DataFrame, int]],
) -> Derived:
    passed_over: dict[str, Mapping[str, str]] = {}

    def made_of(manifest: ReleaseManifest) -> tuple[pl.DataFrame, Mapping[str, str], int]:
        tracks = released_tracks(
            asked.source, manifest.release, signals=asked.signals, only=asked.only, progress=asked.progress
        )
        passed_over[manifest.release] = tracks.passed_over
        rows, looked_at = found(tracks.table)
        return rows, tracks.items, looked_at

    signals = dict(asked.signals.digests) if asked.signals else {}
    with table.writing(kind, {**parameters, "signals": signals, "only": sorted(asked.only)}) as before:
        about, kept = extended(table, before, asked.client, tuple(dict.fromkeys(asked.releases)), made_of)
    return Derived(about=about, kept=kept, passed_over=passed_over)


def _row(driver: Driver) -> dict[str, Any]:
    follower = driver.follower
    row: dict[str, Any] = {
        "clip": follower.clip,
        "track": follower.track,
        "automated": follower.automated,
        "seconds": follower.seconds,
        "leaders": len({each.leader for each in follower.stretches}),
        "mixed_error": driver.mixed_error,
        "independent": driver.independent,
    }
    for name, each in driver.parameters.items():
        row |= {
            name: each.value,
            f"{name}_relative_error": each.relative_error,
            f"{name}_determined": each.determined,
        }
    return row


def register_table(client: GatewayClient, table: SealedTable, name: str) -> str:
    """Register a sealed table at the gateway, and note in its folder under which id; one that is keeps its id.

    Raises:
        SealedTableError: There is none.
        RefusedError: The gateway refuses: no live grant on a release, or it is revoked.
        UnreachableError: It cannot be reached.
    """
    about = table.about()
    if about.artefact is not None:
        return about.artefact
    artefact = client.register(about.derived(name))
    table.registered(about, artefact)
    return artefact


def sealed_events(client: GatewayClient, table: SealedTable) -> Observed:
    """The cut-ins of a sealed table, once the gate said that its releases may be read now.

    Raises:
        ReleaseEndedError: The gate refuses one of its releases.
        SealedTableError: The table cannot be read.
        TracksError: It holds no event.
    """
    about, rows = table.read(client, CUT_INS)
    return Observed(columns=columns_of(rows, str(table.folder)), about=about)


def sealed_drivers(client: GatewayClient, table: SealedTable) -> Observed:
    """The drivers of a sealed table as inputs of a cut-in, once the gate said that its releases may be read now.

    Those of the automated vehicle are ``headway`` and the like, those of the traffic around ``rear_headway`` and
    the like; NaN where the data do not determine one.

    Raises:
        ReleaseEndedError: The gate refuses one of its releases.
        SealedTableError: The table cannot be read.
    """
    about, rows = table.read(client, DRIVERS)
    columns: dict[str, Floats] = {}
    for prefix, automated in (("", True), ("rear_", False)):
        of = rows.filter(pl.col("automated") == automated)
        for name in BOUNDS.keys() - {"desired_speed"}:
            known = pl.when(pl.col(f"{name}_determined")).then(pl.col(name)).otherwise(float("nan"))
            columns[prefix + name] = of.select(known).to_series().to_numpy()
    return Observed(columns=columns, about=about)


def population(client: GatewayClient, table: SealedTable) -> tuple[Population, ...]:
    """What a sealed table of drivers says of each parameter.

    Raises:
        ReleaseEndedError, SealedTableError: As ``sealed_drivers``.
    """
    _, rows = table.read(client, DRIVERS)
    return tuple(
        Population(
            name=name,
            unit=unit,
            automated=automated,
            drivers=of.height,
            determined=known.len(),
            quartiles=tuple(float(known.quantile(q, "linear") or 0.0) for q in (0.25, 0.5, 0.75))
            if known.len()
            else (),
        )
        for automated in (True, False)
        for of in (rows.filter(pl.col("automated") == automated),)
        for name, (unit, _, _) in BOUNDS.items()
        for known in (of.filter(pl.col(f"{name}_determined"))[name],)
        if of.height
    )
