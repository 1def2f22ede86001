"""Mining's own functions of one item, as batch work: the look of a picture, the events of a recording."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from importlib.metadata import version
from typing import Any

from pipeline.manifest import ReleaseItem, ReleaseManifest
from pipeline.mining.descriptors import look_to_json
from pipeline.mining.load import LoadedItem, ReleaseSource, read_item
from pipeline.mining.pictures import look_at_item, look_name
from pipeline.mining.signal_file import read_signal_file
from pipeline.mining.signals import Clip, join_tables
from pipeline.mining.trigger_file import read_trigger_file
from pipeline.mining.triggers import Coverage, Event, Mined, find_events
from pipeline.scale.errors import OutputsError
from pipeline.scale.outputs import OutputFolder


@dataclass(frozen=True, slots=True)
class Looks:
    """The look of each picture, under the name and in the form in which mining keeps it."""

    def takes(self, item: ReleaseItem) -> bool:
        """Pictures."""
        return item.media_type.startswith("image/")

    def output(self, item: ReleaseItem) -> str:
        """As mining calls a look."""
        return look_name(item)

    def __call__(self, source: ReleaseSource, release: str, item: ReleaseItem) -> bytes:
        """Read and measure it."""
        return look_to_json(look_at_item(source, release, item))


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionEvents:
    """The events in the motion of each item.

    Attributes:
        triggers: The file of triggers.
        only: Names of the triggers to evaluate; none says all.
        signals: The file that maps CAN signals, with its DBC; None where CAN logs are passed over.
    """

    triggers: bytes
    only: tuple[str, ...] = ()
    signals: tuple[bytes, bytes] | None = None

    def takes(self, item: ReleaseItem) -> bool:
        """Every item: what holds no motion is told with the reason."""
        del item
        return True

    def output(self, item: ReleaseItem) -> str:
        """Its parameters and version by digest, the item's content, and what of its manifest entry decides."""
        parts = (self.triggers, json.dumps(sorted(self.only)).encode(), *(self.signals or ()))
        parameters = sha256(b"".join(sha256(part).digest() for part in parts)).hexdigest()
        kind = item.name.rpartition(".")[2].lower()
        return f"events {version('fleetgate')} {parameters} {item.sha256} {kind} {item.clip_stride_s}"

    def __call__(self, source: ReleaseSource, release: str, item: ReleaseItem) -> bytes:
        """Read it and evaluate the triggers; names of release and item are left to the manifest."""
        signals = None if self.signals is None else read_signal_file(*self.signals)
        read = read_item(source, release, item, signals)
        if read.table is None:
            return json.dumps({"reason": read.reason}).encode()
        mined = find_events(read.table, read_trigger_file(self.triggers), only=self.only)
        answer = {
            "rows": len(read.table),
            "sources": dict(read.sources),
            "clips": [clip.number for clip in read.table.clips],
            "untimed": mined.untimed,
            "coverage": {name: asdict(c) for name, c in mined.coverage.items()},
            "events": [{**asdict(event), "clip": event.clip.number} for event in mined.events],
        }
        return json.dumps(answer).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class GatheredEvents:
    """What ``load_signals`` and ``find_events`` say of a release, put together of its items' outputs."""

    items: tuple[LoadedItem, ...]
    passed_over: Mapping[str, str]
    mined: Mined


def gather_events(outputs: OutputFolder, manifest: ReleaseManifest, function: MotionEvents) -> GatheredEvents:
    """Put the events of all items together, in the order in which one table of all items gives them.

    Raises:
        OutputsError: An output is missing or altered.
    """
    items, passed_over, clips, found = [], {}, [], []
    for item in manifest.items:
        content = outputs.get(function.output(item))
        if content is None:
            raise OutputsError(f"events of {item.name!r} are not there: repeat the run")
        answer = json.loads(content)
        if "reason" in answer:
            passed_over[item.name] = answer["reason"]
            continue
        items.append(LoadedItem(item=item, rows=answer["rows"], sources=answer["sources"]))
        clips += [Clip(release=manifest.release, item=item.name, number=n) for n in answer["clips"]]
        found.append((item.name, answer))
    order = {clip: number for number, clip in enumerate(clips)}
    events = [
        Event(**{**event, "clip": Clip(release=manifest.release, item=name, number=event["clip"])})
        for name, answer in found
        for event in answer["events"]
    ]
    events.sort(key=lambda e: (-e.priority, -e.severity, order[e.clip], e.begin_s, e.trigger))
    mined = Mined(
        events=tuple(events),
        coverage=_joined([answer["coverage"] for _, answer in found], function),
        rows=sum(item.rows for item in items),
        untimed=sum(answer["untimed"] for _, answer in found),
    )
    return GatheredEvents(items=tuple(items), passed_over=passed_over, mined=mined)


def _joined(coverages: list[Mapping[str, Any]], function: MotionEvents) -> dict[str, Coverage]:
    """Rows add up; a signal is absent where no item has it."""
    if not coverages:
        return dict(
            find_events(join_tables(()), read_trigger_file(function.triggers), only=function.only).coverage
        )
    return {
        name: Coverage(
            rows=sum(each[name]["rows"] for each in coverages),
            absent=tuple(sorted(set.intersection(*(set(each[name]["absent"]) for each in coverages)))),
        )
        for name in coverages[0]
    }
