"""KILL, EIO and ENOSPC at system calls of ledger, vault, keystore and databases, one call at a time (laws 2 to 4).

``strace`` injects them into an untouched process (``injection_victim.py``); a fresh process then looks
(``aftermath.py``), and the order of calls shows whether an acknowledgement waited for the disk
(``durability.py``). Here a sample for a minute; all of them, or the second quarter of all of them:

    FLEETGATE_INJECTED_FAULTS=all pytest -s tests/faults/test_injected_faults.py
    FLEETGATE_INJECTED_FAULTS=2/4 pytest -s tests/faults/test_injected_faults.py
"""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from faults.durability import Call, broken_promises, calls

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CHANGING = ("openat", "write", "pwrite64", "ftruncate", "fallocate", "fsync", "fdatasync", "mkdir")
NAMING = ("link", "linkat", "rename", "renameat", "renameat2", "unlink", "unlinkat", "rmdir")
LOOKING = ("read", "pread64", "fcntl", "flock", "newfstatat", "fstat", "lseek", "close", "getdents64")
TRACED = ",".join(f"?{name}" for name in (*CHANGING, *NAMING, *LOOKING, "writev", "sendto"))
SYNCS = ("fsync", "fdatasync")
LEDGER_ACTS = ("append first", "announce", "receive", "append last")
AMOUNT = os.environ.get("FLEETGATE_INJECTED_FAULTS", "40")
BOUNDED = AMOUNT.isdecimal() and int(AMOUNT) <= 40
SAMPLE_SECONDS = 60.0
LEAST = 8
SEED = 2026


@dataclass(frozen=True)
class Fault:
    """One call of one thread, and what is done to it."""

    thread: str
    call: str
    ordinal: int
    what: str
    path: str

    @property
    def injection(self) -> str:
        """As strace takes it."""
        return f"{self.call}:{self.what}:when={self.ordinal}"


class Laboratory:
    """Sends orders to ``injection_victim.py``; each fault strikes a fresh copy of one house."""

    def __init__(self, process: "subprocess.Popen[str]", place: Path) -> None:
        self._process = process
        self._place = place
        self._count = 0
        self.order(do="furnish", home=str(place / "template"))

    def order(self, **order: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the victims' process ended (status {self._process.wait()})"
        report: dict[str, Any] = json.loads(line)
        assert "error" not in report, report["error"]
        return report

    def attack(self, **order: Any) -> tuple[dict[str, Any], list[Call], list[str]]:
        """What the victim told, its calls, and what is wrong with its promises and with what it left."""
        self._count += 1
        home, trace = self._place / f"home{self._count}", self._place / "trace"
        shutil.copytree(self._place / "template", home)
        report = self.order(do="attack", home=str(home), trace=str(trace), calls=TRACED, **order)
        if "unattached" in report:
            pytest.skip(f"ptrace is not allowed here: {report['unattached']}")
        done = list(calls(trace))
        found = self.order(do="examine", home=str(home), acknowledged=report["acknowledged"])
        shutil.rmtree(home)
        return report, done, [*broken_promises(done, str(home)), *found["wrong"]]


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "tests")))
    process = subprocess.Popen(  # noqa: S603 (this interpreter, a file of these tests)
        [sys.executable, str(HERE / "injection_victim.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
    )
    yield Laboratory(process, tmp_path_factory.mktemp("faults"))
    process.communicate(timeout=60)
    assert process.returncode == 0


@pytest.fixture(scope="module")
def undisturbed(laboratory: Laboratory) -> tuple[dict[str, Any], list[Call], list[str]]:
    return laboratory.attack(follow=True)


def faults_of(done: list[Call]) -> list[Fault]:
    """Every fault that can strike a call on the house's files."""
    main = next(call.thread for call in done if call.name == "sendto")
    counts: Counter[tuple[str, str]] = Counter()
    found = []
    for call in done:
        thread = "main" if call.thread == main else "writer"
        counts[thread, call.name] += 1
        path = next((path for path in call.paths if "/home" in path), None)
        if path is None or call.name == "sendto":
            continue
        # What is on the disk when a process dies while it looks is what is there at its next change.
        what = ["error=EIO"] if call.name in LOOKING else ["signal=KILL", "error=EIO", "error=ENOSPC"]
        name = path.partition("/home")[2].partition("/")[2]
        found += [Fault(thread, call.name, counts[thread, call.name], each, name) for each in what]
    return found


def sampled(faults: list[Fault]) -> list[Fault]:
    """A drawn order in which each kind of fault at each kind of call comes up before any comes again."""
    drawn = random.Random(SEED).sample(faults, len(faults))  # noqa: S311 (a sample, no secret)
    turn: Counter[tuple[str, str, str]] = Counter()
    keyed = []
    for fault in drawn:
        kind = (fault.thread, fault.call, fault.what)
        keyed.append((turn[kind], fault))
        turn[kind] += 1
    return [fault for _, fault in sorted(keyed, key=lambda each: each[0])]


def judged(fault: Fault, report: dict[str, Any], done: list[Call], wrong: list[str]) -> list[str]:
    """What a fault showed to be wrong."""
    wrong = [*wrong, *report["surprises"]]
    if fault.what == "signal=KILL":
        return wrong
    if not report["ended"]:
        wrong.append(f"the process died of an error (signal {report['signal']})")
    if fault.thread == "writer" and fault.call in SYNCS and any(call.injected for call in done):
        # Law 2: what the writer could not sync is in the dark, so that it may acknowledge nothing any more.
        first = report["refused"][0][0] if report["refused"] else LEDGER_ACTS[0]
        # Whoever repeats an announcement or a delivery that had its effect is told so, without a new entry.
        repeatable = first in ("announce", "receive")
        later = LEDGER_ACTS[LEDGER_ACTS.index(first) + repeatable :]
        late = report["acknowledged"].keys() & {*later}
        wrong += [f"law 2: '{act}' was acknowledged after a failed sync" for act in sorted(late)]
    return wrong


def struck(report: dict[str, Any], done: list[Call]) -> bool:
    return report["signal"] == 9 or any(call.injected for call in done)


def test_an_undisturbed_run_owes_nothing_to_the_disk(
    undisturbed: tuple[dict[str, Any], list[Call], list[str]],
):
    report, done, wrong = undisturbed
    assert (report["ended"], report["refused"], report["surprises"], wrong) == (True, [], [], [])
    assert {call.name for call in done} >= {"openat", "write", "pwrite64", *SYNCS, "link", "rename", "unlink"}


def share(faults: list[Fault], amount: str) -> list[Fault]:
    """Those of a drawn order that this run tries: ``all``, so many, or the second of four parts as ``2/4``."""
    part, _, parts = ("1/1" if amount == "all" else amount).partition("/")
    return faults[int(part) - 1 :: int(parts)] if parts else faults[: int(part)]


def test_the_parts_of_all_faults_are_all_faults():
    faults = [Fault("main", "write", number, "error=EIO", "") for number in range(11)]
    parts = [share(faults, f"{part}/4") for part in (1, 2, 3, 4)]
    assert sorted(fault.ordinal for part in parts for fault in part) == [*range(11)]
    assert (share(faults, "all"), share(faults, "3")) == (faults, faults[:3])


@pytest.mark.timeout(300 if BOUNDED else 0)
def test_no_fault_loses_what_was_acknowledged(
    laboratory: Laboratory, undisturbed: tuple[dict[str, Any], list[Call], list[str]]
):
    """Laws 2, 3, 4 and 9 after each fault, and the next run does everything."""
    faults = sampled(faults_of(undisturbed[1]))
    ends = time.monotonic() + SAMPLE_SECONDS
    wrong: dict[str, list[str]] = {}
    tried, fired = 0, 0
    for fault in share(faults, AMOUNT):
        if BOUNDED and tried >= LEAST and time.monotonic() > ends:
            break
        report, done, found = laboratory.attack(thread=fault.thread, inject=fault.injection)
        tried += 1
        fired += struck(report, done)
        if not BOUNDED and tried % 50 == 0:
            sys.stdout.write(f"{tried} tried, {fired} struck, {len(wrong)} found something\n")
            sys.stdout.flush()
        if broken := judged(fault, report, done, found):
            wrong[str(fault)] = broken
            sys.stdout.write(f"{fault}: {broken} refused {report['refused']}\n")
            sys.stdout.flush()
    sys.stdout.write(f"{tried} of {len(faults)} faults tried, {fired} struck, {len(wrong)} found something\n")
    assert wrong == {}
    assert fired >= 0.9 * tried


def first(done: list[Call], name: str, part: str, *, whole: bool = False) -> int:
    """How many calls of that name the main thread made up to the first on a path with that part, or end."""
    main = next(call.thread for call in done if call.name == "sendto")
    own = [call for call in done if call.thread == main and call.name == name]
    meant = (lambda path: path.endswith(part)) if whole else (lambda path: part in path)
    return next(at for at, call in enumerate(own, 1) if any(map(meant, call.paths)))


@pytest.mark.parametrize("broken", ["early", "hasty"])
def test_an_acknowledgement_before_the_sync_is_found(laboratory: Laboratory, broken: str):
    """The harness can fail: a kill would not show it, because the page cache survives."""
    report, _, wrong = laboratory.attack(broken=broken, follow=True)
    assert "seal" in report["acknowledged"]
    assert any("while not durable" in each for each in wrong)


@pytest.mark.parametrize("broken", ["swallow", "retry"])
def test_going_on_after_a_failed_sync_is_found(
    laboratory: Laboratory, undisturbed: tuple[dict[str, Any], list[Call], list[str]], broken: str
):
    at = first(undisturbed[1], "fsync", "/kek/")
    report, _, wrong = laboratory.attack(broken=broken, inject=f"fsync:error=EIO:when={at}")
    assert "kek" in report["acknowledged"]
    assert any("'kek' was acknowledged while not durable" in each for each in wrong)


def test_a_half_written_object_is_found(
    laboratory: Laboratory, undisturbed: tuple[dict[str, Any], list[Call], list[str]]
):
    at = first(undisturbed[1], "write", "/objects/")
    report, _, wrong = laboratory.attack(broken="in place", inject=f"write:signal=KILL:when={at}")
    assert (report["signal"], "seal" in report["acknowledged"]) == (9, False)
    assert wrong


@pytest.mark.parametrize(
    "folder", ["keystore/kek", "keystore/secret", "archive", "archive/tile/entries/000.p"]
)
def test_a_name_whose_directory_could_not_be_synced_is_made_anew(
    laboratory: Laboratory, undisturbed: tuple[dict[str, Any], list[Call], list[str]], folder: str
):
    """Law 4: the second attempt finds nothing that it would take for durable."""
    at = first(undisturbed[1], "fsync", f"/{folder}", whole=True)
    report, done, wrong = laboratory.attack(inject=f"fsync:error=EIO:when={at}")
    assert any(call.injected and call.paths[0].endswith(f"/{folder}") for call in done)
    assert (len(report["refused"]), wrong) == (1, [])
