"""From a release to tracks: items that tell where vehicles were are read through the gate, in memory only."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import polars as pl

from pipeline.manifest import ReleaseItem
from pipeline.mining.load import ReleaseSource, load_signals
from pipeline.mining.signal_file import CanSignals
from pipeline.simulation.errors import TracksError
from pipeline.simulation.read_lead import lead_tracks
from pipeline.simulation.read_nuscenes import EGO, Row, nuscenes_tracks, table_of

__all__ = ["EGO", "ReleasedTracks", "released_tracks"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasedTracks:
    """Tracks of a release.

    Attributes:
        table: A row per instant and track, as ``pipeline.simulation.tracks`` takes it; the automated vehicle is
            ``EGO``.
        items: SHA-256 of the items that it was made of, by name.
        passed_over: Items that tell of no other vehicle, with the reason.
    """

    table: pl.DataFrame = field(repr=False)
    items: Mapping[str, str]
    passed_over: Mapping[str, str]


def released_tracks(
    source: ReleaseSource,
    release: str,
    *,
    signals: CanSignals | None = None,
    only: Collection[str] = (),
    progress: Callable[[ReleaseItem, int, int], None] = lambda *_: None,
) -> ReleasedTracks:
    """Tracks of the vehicles around the automated one: nuScenes tables, and signals of the vehicle ahead.

    Signals (gap, offset, tracker's number) come from CAN logs and from recordings with frames of CAN, by the file
    of signals that mining uses, too.

    Args:
        source: Where items are read; the gate decides on each.
        release: Id of the release.
        signals: What to take of CAN frames; without it they are passed over.
        only: Names of the items to read; none says all.
        progress: Called before each item with its number from 1 and how many there are.

    Raises:
        TracksError: No item tells of another vehicle, ``only`` names what is no item, or a number is NaN.
        PipelineError: The gate refuses, or what arrives is not what was signed.
    """
    manifest = source.manifest(release)
    if unknown := sorted(set(only) - manifest.by_name.keys()):
        raise TracksError(f"release {release!r} has no item {', '.join(unknown)}")
    passed_over, used = dict[str, str](), dict[str, str]()
    loaded = load_signals(source, release, signals=signals, only=only, progress=progress)
    tables = [] if (lead := lead_tracks(loaded.table)) is None else [lead]
    clips = set() if lead is None else {name.rpartition("#")[0] for name in lead["clip"].unique()}
    for each in loaded.items:
        if each.item.name in clips:
            used[each.item.name] = each.item.sha256
        else:
            passed_over[each.item.name] = "no speed with a gap to the vehicle ahead"
    annotated: dict[str, list[Row]] = {}
    of_tables = dict[str, str]()
    for name, reason in loaded.passed_over.items():
        item = manifest.by_name[name]
        found = table_of(source.read(release, name), name) if _is_json(name) else None
        if found is None:
            passed_over[name] = reason
            continue
        annotated.setdefault(found[0], []).extend(found[1])
        of_tables[name] = item.sha256
    if "sample_annotation" in annotated:
        tables.append(nuscenes_tracks(annotated))
        used |= of_tables
    else:
        passed_over |= dict.fromkeys(of_tables, "a table of nuScenes without sample_annotation")
    made = pl.concat(tables) if tables else pl.DataFrame()
    if made.is_empty():
        raise TracksError(f"release {release!r} tells of no other vehicle: {_told(passed_over)}")
    return ReleasedTracks(table=made, items=used, passed_over=passed_over)


def _is_json(name: str) -> bool:
    return name.rpartition(".")[2].lower() == "json"


def _told(passed_over: Mapping[str, str]) -> str:
    reasons: dict[str, list[str]] = {}
    for name, reason in passed_over.items():
        reasons.setdefault(reason, []).append(name)
    return (
        "; ".join(f"{names[0]} and {len(names) - 1} more: {why}" for why, names in reasons.items())
        or "no items"
    )
