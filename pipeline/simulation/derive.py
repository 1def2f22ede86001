"""Tables derived of releases that are read under grants: sealed, resumed, registered, read again."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

import polars as pl

from pipeline.client import GatewayClient
from pipeline.manifest import ReleaseItem, ReleaseManifest
from pipeline.mining.load import ReleaseSource
from pipeline.mining.signal_file import CanSignals
from pipeline.simulation.backend import Floats
from pipeline.simulation.cut_in_events import CutInRule, looked_for
from pipeline.simulation.errors import TracksError
from pipeline.simulation.released_tracks import EGO, released_tracks
from pipeline.simulation.sealed_tables import About, SealedTable, extended
from pipeline.simulation.tracks import columns_of

CUT_INS: Final = "cut_ins"


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
    passed_over: dict[str, Mapping[str, str]] = {}

    def made_of(manifest: ReleaseManifest) -> tuple[pl.DataFrame, Mapping[str, str], int]:
        tracks = released_tracks(source, manifest.release, signals=signals, only=only, progress=progress)
        passed_over[manifest.release] = tracks.passed_over
        found, pairs = looked_for(tracks.table, EGO)
        return found, tracks.items, pairs

    parameters = {
        "rule": asdict(CutInRule()),
        "signals": dict(signals.digests) if signals else {},
        "only": sorted(only),
    }
    wanted = tuple(dict.fromkeys(releases))
    with table.writing(CUT_INS, parameters) as before:
        about, kept = extended(table, before, client, wanted, made_of)
    if not sum(each.rows for each in about.parts):
        pairs = sum(each.looked_at for each in about.parts)
        raise TracksError(f"no cut-in among {pairs} pairs of tracks in {', '.join(wanted)}")
    return Derived(about=about, kept=kept, passed_over=passed_over)


def register_table(client: GatewayClient, table: SealedTable, name: str) -> str:
    """Register a sealed table at the gateway, and note in its folder under which id.

    Raises:
        SealedTableError: There is none.
        RefusedError: The gateway refuses: no live grant on a release, or it is revoked.
        UnreachableError: It cannot be reached.
    """
    about = table.about()
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
