"""Where the time of a training went, over all its starts: steps, waiting for data, restarts, and what was lost.

A line of JSON is appended and flushed at the start of a process, every few seconds, after each checkpoint and at
the end; a process that is killed leaves what it had told. Goodput is the time of steps that a checkpoint keeps, by
the wall clock from the first start to the end, times between two starts included.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from pipeline.training.errors import RunError

B = TypeVar("B")

_EVERY_S: Final = 2.0
_START: Final = "start"
_KEPT: Final = "kept"


@dataclass(slots=True, kw_only=True)
class Spent:
    """What a process did since it started; seconds are of the wall clock.

    Attributes:
        step_s: Steps of the model on batches.
        wait_s: Waiting for batches.
        validate_s: Validation.
        save_s: Writing and registering checkpoints.
        samples: Samples that steps took, over all ranks.
    """

    step_s: float = 0.0
    wait_s: float = 0.0
    validate_s: float = 0.0
    save_s: float = 0.0
    samples: int = 0


@dataclass(slots=True, kw_only=True)
class Timeline:
    """The time of one start of a training.

    Attributes:
        path: JSON Lines that all starts append to; None measures and writes nothing, as ranks but the first do.
        world: Ranks, each with as many samples.
    """

    path: Path | None
    world: int = 1
    spent: Spent = field(default_factory=Spent)
    _told: float = 0.0

    def started(self) -> None:
        """Tell that a process started."""
        self._tell(_START)

    def kept(self) -> None:
        """Tell that a checkpoint keeps all steps so far."""
        self._tell(_KEPT)

    def ended(self, how: str) -> None:
        """Tell how the process ended."""
        self._tell("end", how=how)

    def measured(self, batches: Iterable[B], samples: Callable[[B], int]) -> Iterator[B]:
        """Batches, with the time until each came and the time until the next was asked for."""
        asked = time.perf_counter()
        for batch in batches:
            came = time.perf_counter()
            self.spent.wait_s += came - asked
            yield batch
            asked = time.perf_counter()
            self.spent.step_s += asked - came
            self.spent.samples += samples(batch) * self.world
            if time.monotonic() - self._told >= _EVERY_S:
                self._tell("beat")

    @contextmanager
    def validating(self) -> Iterator[None]:
        """The time of a validation."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.spent.validate_s += time.perf_counter() - began

    @contextmanager
    def saving(self) -> Iterator[None]:
        """The time of a checkpoint."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.spent.save_s += time.perf_counter() - began

    def _tell(self, what: str, **more: Any) -> None:
        self._told = time.monotonic()
        if self.path is None:
            return
        line = json.dumps({"at": time.time(), "what": what, "spent": asdict(self.spent), **more})
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def read_events(path: Path) -> list[dict[str, Any]]:
    """The lines of a timeline; a last one that a killed process cut short is left out.

    Raises:
        RunError: Another line is malformed, or the file cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise RunError(f"{path.name}: {error.strerror}") from error
    found = []
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            event = json.loads(line)
            Spent(**event["spent"])
            found.append({**event, "at": float(event["at"])})
        except (ValueError, KeyError, TypeError) as error:
            if number == len(lines):
                break
            raise RunError(f"{path.name} line {number}: {type(error).__name__}: {error}") from error
    return found


def summary(events: Sequence[Mapping[str, Any]]) -> dict[str, float | int | None]:
    """Figures of a training over all its starts.

    - ``goodput``: ``step_s`` of steps that a checkpoint keeps, by ``wall_s``.
    - ``samples_per_s``: samples of those steps by their time and the time waited for them.
    - ``loader_wait_share``: that waiting by the same.
    - ``lost_s``: steps and waiting after the last checkpoint of a start that broke off; done again later.
    - ``down_s``: from the last sign of a process to the start of the next.
    - ``other_s``: what remains of the wall clock: starting, loading libraries and indexes.

    Raises:
        RunError: There is no start.
    """
    if not events or events[0]["what"] != _START:
        raise RunError("timeline (got no start at its begin)")
    starts: list[list[Mapping[str, Any]]] = []
    for event in events:
        if event["what"] == _START:
            starts.append([])
        starts[-1].append(event)
    kept = [_last([e for e in start if e["what"] == _KEPT]) for start in starts]
    last = [_last(start) for start in starts]
    ends = [start[-1]["at"] for start in starts]
    begins = [start[0]["at"] for start in starts]
    wall = ends[-1] - begins[0]
    down = sum(begin - end for begin, end in zip(begins[1:], ends[:-1], strict=True))
    steps, waited = sum(k.step_s for k in kept), sum(k.wait_s for k in kept)
    lost = sum(a.step_s + a.wait_s - k.step_s - k.wait_s for a, k in zip(last, kept, strict=True))
    validate, save = sum(a.validate_s for a in last), sum(a.save_s for a in last)
    samples = sum(k.samples for k in kept)
    busy = steps + waited
    return {
        "starts": len(starts),
        "samples": samples,
        "wall_s": wall,
        "step_s": steps,
        "wait_s": waited,
        "validate_s": validate,
        "save_s": save,
        "lost_s": lost,
        "down_s": down,
        "other_s": max(0.0, wall - busy - validate - save - lost - down),
        "samples_per_s": samples / busy if busy else None,
        "loader_wait_share": waited / busy if busy else None,
        "goodput": steps / wall if wall else None,
    }


def _last(events: Sequence[Mapping[str, Any]]) -> Spent:
    return Spent(**events[-1]["spent"]) if events else Spent()
