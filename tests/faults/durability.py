"""What a process owed to the disk when it acknowledged an act, read from its calls as ``strace -y`` shows them.

A kill leaves the page cache alone, so that it cannot show an acknowledgement that came before its sync: the order
of calls does. Content is owed from a write until a sync of the file, a name from its making until a sync of its
directory. After a failed sync the kernel may have dropped the pages and calls them clean: another sync settles
nothing, only writing or making the name anew does, or removing it.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

_LINE = re.compile(r"^(?P<name>\w+)\((?P<arguments>.*)\) += (?P<result>-?\d+|\?)(?P<rest>.*)$")
_PARTS = re.compile(r"^(?P<head>(?:\d+ +)?)(?P<text>.*)$")
_UNFINISHED = " <unfinished ...>"
_RESUMED = re.compile(r"^<\.\.\. \w+ resumed>(?P<text>.*)$")
_DESCRIPTOR = re.compile(r"^\d+<(?P<path>/[^>]*?)(?: \(deleted\))?>")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_WRITES = frozenset({"write", "writev", "pwrite64", "ftruncate", "fallocate"})
_SYNCS = frozenset({"fsync", "fdatasync"})
# SQLite makes the shared index of its log anew after a crash; lock files hold nothing; temporary names are swept.
_WORTHLESS = re.compile(r"(-shm|/lock|\.tmp|\.new)$")
_ORPHAN = re.compile(r"/objects/[0-9a-f]+\.(sealed|manifest)$")


@dataclass(frozen=True)
class Call:
    """A system call: its thread, its paths, whether it succeeded and whether strace tampered with it."""

    thread: str
    name: str
    arguments: str
    succeeded: bool
    injected: bool

    @property
    def paths(self) -> list[str]:
        """Descriptor's path, or the paths named."""
        descriptor = _DESCRIPTOR.match(self.arguments)
        return [descriptor["path"]] if descriptor else _QUOTED.findall(self.arguments)


def calls(trace: Path) -> Iterator[Call]:
    """The calls of a log of strace, those of several threads in the order in which they returned."""
    begun: dict[str, str] = {}
    for line in trace.read_text(errors="replace").splitlines():
        parts = _PARTS.match(line)
        assert parts is not None
        thread, text = parts["head"], parts["text"]
        if text.endswith(_UNFINISHED):
            begun[thread] = text.removesuffix(_UNFINISHED)
            continue
        if resumed := _RESUMED.match(text):
            text = begun.pop(thread) + resumed["text"]
        if found := _LINE.match(text):
            yield Call(
                thread,
                found["name"],
                found["arguments"],
                succeeded=not found["result"].startswith(("-", "?")),
                injected="(INJECTED)" in found["rest"],
            )


Debt = tuple[str, str]
"""``content`` of a file or its ``name``, and the path."""


@dataclass
class Debts:
    """What is owed at a moment, and of it what a failed sync left in the dark."""

    owed: set[Debt] = field(default_factory=set)
    lost: set[Debt] = field(default_factory=set)

    def take(self, call: Call) -> None:
        """Account for one call."""
        if call.name in _SYNCS:
            self._sync(call.paths[0], succeeded=call.succeeded)
        elif call.succeeded:
            self._change(call)

    def forget_orphans(self) -> None:
        """A sealed object whose sealing was refused is nobody's."""
        self._drop(*(path for _, path in self.owed if _ORPHAN.search(path)))

    def _sync(self, path: str, *, succeeded: bool) -> None:
        below = {
            (kind, each) for kind, each in self.owed if kind == "name" and each.rpartition("/")[0] == path
        }
        concerned = below | (self.owed & {("content", path)})
        if succeeded:
            self.owed -= concerned - self.lost
        else:
            self.lost |= concerned

    def _change(self, call: Call) -> None:
        paths = call.paths
        if call.name in _WRITES:
            self._renew("content", paths[0])
        elif call.name == "openat" and "O_CREAT|O_EXCL" in call.arguments:
            self._renew("name", paths[0])
        elif call.name in ("mkdir", "mkdirat"):
            self._renew("name", paths[-1])
        elif call.name in ("link", "linkat", "rename", "renameat", "renameat2"):
            old, new = paths[-2:]
            self._renew("name", new)
            self.owed |= {("content", new) for debt in self.owed if debt == ("content", old)}
            self.lost |= {("content", new) for debt in self.lost if debt == ("content", old)}
            if call.name.startswith("rename"):
                self._drop(old)
        elif call.name in ("unlink", "unlinkat", "rmdir"):
            self._drop(paths[-1])

    def _renew(self, kind: str, path: str) -> None:
        self.owed.add((kind, path))
        self.lost.discard((kind, path))

    def _drop(self, *paths: str) -> None:
        gone = {(kind, path) for kind in ("content", "name") for path in paths}
        self.owed -= gone
        self.lost -= gone


def broken_promises(trace: Iterable[Call], home: str) -> Iterator[str]:
    """Acknowledgements that came before what they rest on below ``home`` was durable."""
    debts = Debts()
    for call in trace:
        if call.name != "sendto":
            if any(path.startswith(home) for path in call.paths):
                debts.take(call)
            continue
        kind, act = _words(call)
        if kind == "refused":
            debts.forget_orphans()
            continue
        owed = sorted(f"{what} of {path}" for what, path in debts.owed if not _WORTHLESS.search(path))
        if kind == "acknowledged" and owed:
            yield f"law 4: '{act}' was acknowledged while not durable: {', '.join(owed)}"
            debts = Debts()


def _words(call: Call) -> tuple[str, str]:
    # strace cuts long texts and writes tabs as \\t; what matters stands in front.
    kind, _, more = _QUOTED.findall(call.arguments)[0].partition("\\t")
    return kind, more.partition("\\t")[0]
