"""Functions of one item for tests of batch work, in a module that spawned workers can import."""

import os
import signal
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.manifest import ReleaseItem

if TYPE_CHECKING:
    from pipeline.mining.load import ReleaseSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """Digest and first bytes of an item; at some items, once or always, the worker is killed first.

    Attributes:
        notes: Folder for marks of what ran.
        deadly: Items at which the worker dies by SIGKILL, the first time only unless ``always``.
        always: Whether it dies there every time.
        pause_s: Seconds that each item takes.
    """

    notes: Path
    deadly: tuple[str, ...] = ()
    always: bool = False
    pause_s: float = 0.0

    def takes(self, item: ReleaseItem) -> bool:
        return item.media_type.startswith("image/")

    def output(self, item: ReleaseItem) -> str:
        return f"digest 1 {item.sha256}"

    def __call__(self, source: "ReleaseSource", release: str, item: ReleaseItem) -> bytes:
        with (self.notes / "ran").open("a") as file:
            file.write(f"{item.name} {os.getpid()}\n")
        if item.name in self.deadly:
            mark = self.notes / sha256(item.name.encode()).hexdigest()
            if self.always or not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(self.pause_s)
        content = source.read(release, item.name)
        return sha256(content).hexdigest().encode() + b" " + content[:16].hex().encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Moody:
    """A function that is not pure: it answers with what a file holds."""

    mood: Path

    def takes(self, item: ReleaseItem) -> bool:
        return item.name.endswith("000.png")

    def output(self, item: ReleaseItem) -> str:
        return f"mood {item.sha256}"

    def __call__(self, source: "ReleaseSource", release: str, item: ReleaseItem) -> bytes:
        source.read(release, item.name)
        return self.mood.read_bytes()
