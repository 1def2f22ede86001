"""From a release to signals: each item that can hold motion is read through its reader, the others are told."""

import io
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, cast

from pipeline.manifest import ReleaseItem, ReleaseManifest
from pipeline.mining.errors import UnreadableItemError
from pipeline.mining.read_can import read_can_log
from pipeline.mining.read_mcap import read_mcap
from pipeline.mining.read_tracks import read_csv, read_gpx
from pipeline.mining.signal_file import CanSignals
from pipeline.mining.signals import SignalTable, join_tables
from pipeline.reading import ItemReader


class ReleaseSource(Protocol):
    """Where released items are read: ``GatewayClient``, or ``SealedCache`` over it."""

    def manifest(self, release: str) -> ReleaseManifest:
        """The verified manifest."""
        ...

    def open(self, release: str, name: str) -> AbstractContextManager[ItemReader]:
        """Stream an item."""
        ...

    def read(self, release: str, name: str) -> bytes:
        """Read an item whole, proved."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedItem:
    """An item that was read.

    Attributes:
        item: As the manifest has it.
        rows: Rows of signals.
        sources: Of a recording, the topic of each signal.
    """

    item: ReleaseItem
    rows: int
    sources: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The signals of a release.

    Attributes:
        table: All of them.
        items: What was read.
        passed_over: Items that hold none, with the reason.
    """

    table: SignalTable
    items: tuple[LoadedItem, ...]
    passed_over: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemSignals:
    """What one item holds.

    Attributes:
        table: Its signals; None where it holds none.
        sources: Of a recording, the topic of each signal.
        reason: Why it holds none.
    """

    table: SignalTable | None
    sources: Mapping[str, str]
    reason: str = ""


def load_signals(
    source: ReleaseSource,
    release: str,
    *,
    signals: CanSignals | None = None,
    only: Collection[str] = (),
    progress: Callable[[ReleaseItem, int, int], None] = lambda *_: None,
) -> Loaded:
    """Read every item of a release that can hold motion: tracks, GPS/IMU records, recordings, CAN logs.

    Args:
        source: Where items are read.
        release: Id of the release.
        signals: What to take of CAN frames; without it they are passed over.
        only: Names of the items to read; none says all.
        progress: Called before each item with its number from 1 and how many there are.

    Raises:
        UnreadableItemError: An item is not what its name says.
        PipelineError: The gate refuses, or what arrives is not what was signed.
    """
    manifest = source.manifest(release)
    tables, items, passed_over = [], [], {}
    asked = [item for item in manifest.items if not only or item.name in only]
    for number, item in enumerate(asked, start=1):
        progress(item, number, len(asked))
        read = read_item(source, release, item, signals)
        if read.table is None:
            passed_over[item.name] = read.reason
            continue
        tables.append(read.table)
        items.append(LoadedItem(item=item, rows=len(read.table), sources=read.sources))
    return Loaded(table=join_tables(tables), items=tuple(items), passed_over=passed_over)


def read_item(
    source: ReleaseSource, release: str, item: ReleaseItem, signals: CanSignals | None
) -> ItemSignals:
    """Read one item of a release for motion.

    Raises:
        UnreadableItemError: It is not what its name says.
        PipelineError: The gate refuses, or what arrives is not what was signed.
    """
    kind = item.name.rpartition(".")[2].lower()
    if kind == "csv":
        table = read_csv(source.read(release, item.name), release=release, item=item.name)
        return ItemSignals(table=table, sources={}, reason="a table without columns of motion")
    if kind == "gpx":
        return ItemSignals(
            table=read_gpx(source.read(release, item.name), release=release, item=item.name), sources={}
        )
    if kind == "mcap":
        return _recording(source, release, item, signals)
    if kind not in {"asc", "blf"}:
        return ItemSignals(table=None, sources={}, reason=f"{kind} is not read for motion")
    if signals is None:
        return ItemSignals(table=None, sources={}, reason="a CAN log, and no file of signals was given")
    table = read_can_log(
        source.read(release, item.name),
        kind,
        signals,
        release=release,
        item=item.name,
        stride_s=item.clip_stride_s,
    )
    return ItemSignals(table=table, sources={})


def _recording(
    source: ReleaseSource, release: str, item: ReleaseItem, signals: CanSignals | None
) -> ItemSignals:
    with source.open(release, item.name) as reader:
        stream = io.BufferedReader(cast("io.RawIOBase", reader))
        read = read_mcap(cast("io.BufferedReader", stream), signals, release=release, item=item.name)
        if not reader.verified:
            raise UnreadableItemError(f"{item.name!r} did not arrive whole")
        stream.detach()
    if not len(read.table):
        topics = ", ".join(sorted(read.passed_over)) or "none"
        return ItemSignals(table=None, sources={}, reason=f"a recording without motion (topics: {topics})")
    return ItemSignals(table=read.table, sources=read.sources)
