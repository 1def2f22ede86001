"""A process of its own whose forks act on a house under ``strace``, which kills them or fails their system calls.

Orders come as JSON lines on standard input, reports go out as JSON lines. A fork opens a copy of the house, waits
until strace has attached to one of its threads, and runs ``ACTS``; it tells over a socket when an act begins, when
it returned (an acknowledgement) and when it raised. Another fork then opens what is left and looks. Nothing of the
product is replaced, but in the negative controls (``broken_victims.py``), which the harness has to find.
"""

import ctypes
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import audit.tables
import gateway.app
import gateway.database
from audit.events import Event, EventType, Outcome
from audit.tiles import archive_tiles
from faults.broken_victims import BROKEN
from gateway.api.problems import describe
from gateway.app import open_gate
from gateway.flow.gate import Gate
from gateway.flow.intake import Delivery, announce, receive_item
from gateway.settings import Settings
from gateway.vault.errors import KeyUnavailableError
from gateway.vault.keys import Keystore
from gateway.vault.store import Context
from policies.embedded import EmbeddedEngine
from simulators import PASSPHRASE, House, csv_track, manifest_of, vehicle_actor

CANARY = b"canary: 39.908722 N, 116.397499 E"
CONTENT = csv_track(40) + b"# " + CANARY + b"\n"
OBJECT = CANARY * 2500
RECORDING = "0b6f3c1e-54f0-4d1a-9f0e-2f6c1f6f7a01"
SEALED = Context(owner="faults", object="sealed", role="original")
DOOMED = Context(owner="faults", object="doomed", role="original")
KEK, DOOMED_KEK = "fault-kek", "doomed-kek"
ATTEMPTS = 2
RESERVE = 64 * 1024
PATIENCE_MS = 500
PR_SET_PTRACER = 0x59616D61


@dataclass
class Run:
    """What a victim told: acknowledged acts with what they returned, refused ones with the error."""

    acknowledged: dict[str, str] = field(default_factory=dict)
    refused: list[tuple[str, str]] = field(default_factory=list)
    surprises: list[str] = field(default_factory=list)
    ended: bool = False


@contextmanager
def opened(home: Path) -> Iterator[Gate]:
    keystore = Keystore.open(home / "keystore", PASSPHRASE, allow_insecure_test_cost=True)
    settings = Settings(home=home, passphrase=PASSPHRASE, disk_reserve_bytes=RESERVE)  # type: ignore[arg-type]
    with open_gate(settings, keystore=keystore) as gate:
        yield gate


def note(name: str) -> Event:
    return Event(type=EventType.AUDIT_LEDGER_QUERY, outcome=Outcome.COMPLETED, actor="test", object=name)


def _append(name: str) -> Callable[[Gate], str]:
    return lambda gate: str(gate.ledger.append(note(name)).index)


def _kek(gate: Gate) -> str:
    gate.keystore.ensure_kek(KEK)
    return KEK


def _seal(gate: Gate) -> str:
    return gate.vault.seal([OBJECT], kek_id=KEK, context=SEALED).manifest_jws


def _announce(gate: Gate) -> str:
    manifest = manifest_of({"drive.csv": CONTENT}, recording=RECORDING)
    delivery = Delivery(manifest=manifest, source="vehicle", manifest_signed=True)
    return announce(gate, delivery, actor=vehicle_actor())


def _receive(gate: Gate) -> str:
    return receive_item(gate, RECORDING, 0, [CONTENT[:900], CONTENT[900:]], actor=vehicle_actor()).value


def _archive(gate: Gate) -> str:
    return str(archive_tiles(gate.ledger, gate.settings.home / "archive", gate.ledger.checkpoint()).size)


def _destroy(gate: Gate) -> str:
    return gate.keystore.destroy_kek(DOOMED_KEK).fingerprint


ACTS: dict[str, Callable[[Gate], str]] = {
    "append first": _append("first"),
    "kek": _kek,
    "seal": _seal,
    "announce": _announce,
    "receive": _receive,
    "archive": _archive,
    "destroy": _destroy,
    "append last": _append("last"),
}
NEEDS = {"seal": "kek", "receive": "announce"}


def run_acts(gate: Gate, tell: Callable[..., None]) -> None:
    """Every act, a refused one once more, as a sender does."""
    done: set[str] = set()
    for name, act in ACTS.items():
        if NEEDS.get(name, name) not in {name, *done}:
            continue
        for _ in range(ATTEMPTS):
            tell("begin", name)
            try:
                result = act(gate)
            except Exception as error:  # noqa: BLE001 (what a sender is told of it is what the harness looks at)
                # Archives fail by the operating system's own error and keys by one of their own, as documented.
                documented = isinstance(error, OSError | KeyUnavailableError)
                refused = documented or describe(error).status_code == 503
                told = repr(error) if refused else "".join(traceback.format_exception(error))
                tell("refused" if refused else "surprise", name, told)
            else:
                tell("acknowledged", name, result)
                done.add(name)
                break


def victim(home: Path, broken: str | None, line: socket.socket) -> None:
    ctypes.CDLL(None).prctl(PR_SET_PTRACER, ctypes.c_ulong(-1), 0, 0, 0)

    def tell(*words: str) -> None:
        # One system call that no injection fails: files are written by write, not by sendto.
        line.sendall(("\t".join((*words[:2], json.dumps(words[2:]))) + "\n").encode())

    told = tell if broken is None else BROKEN[broken](tell)
    with opened(home) as gate:
        gate.ledger.append(note("start"))
        writer = next(t for t in threading.enumerate() if t.name == "ledger-writer")
        tell("ready", str(threading.get_native_id()), str(writer.native_id))
        line.recv(1)
        run_acts(gate, told)
        tell("ended", "")
        # Killed rather than closed: what closing would still write is no part of an acknowledgement.
        os._exit(0)


def forked(work: Callable[[socket.socket], None]) -> tuple[int, socket.socket]:
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        try:
            work(theirs)
        except BaseException:  # noqa: BLE001 (a fork reports and never returns)
            theirs.sendall(f"error\t\t{json.dumps([traceback.format_exc()])}\n".encode())
        finally:
            os._exit(1)
    theirs.close()
    return pid, ours


def _told(text: str) -> list[str]:
    kind, name, more = [*text.strip("\n").split("\t"), "", "[]"][:3]
    return [kind, name, *json.loads(more)]


def attacked(order: dict[str, Any]) -> dict[str, Any]:
    """Run the acts under strace: its log, and what the victim told."""
    home, trace = Path(order["home"]), Path(order["trace"])
    pid, line = forked(lambda theirs: victim(home, order.get("broken"), theirs))
    words = line.makefile("r")
    kind, *ready = _told(words.readline())
    if kind != "ready":
        raise RuntimeError(ready[-1])
    thread = ready[["main", "writer"].index(order.get("thread", "main"))]
    command = ["strace", "-y", "-s", "300", "-o", str(trace), "-e", f"trace={order['calls']}", "-p", thread]
    command += ["-f"] if order.get("follow") else []
    command += ["-e", f"inject={order['inject']}"] if order.get("inject") else []
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:  # noqa: S603 (arguments of the test)
        assert tracer.stderr is not None
        greeting = tracer.stderr.readline()
        if "attached" not in greeting:
            os.kill(pid, 9)
            return {"unattached": greeting.strip()}
        with suppress(BrokenPipeError):
            line.sendall(b"!")
        run = Run()
        for text in words:
            kind, *more = _told(text)
            if kind == "acknowledged":
                run.acknowledged[more[0]] = more[1]
            elif kind == "refused":
                run.refused.append((more[0], more[1]))
            elif kind in ("surprise", "error"):
                run.surprises.append(more[-1])
            run.ended |= kind == "ended"
        _, status = os.waitpid(pid, 0)
    line.close()
    return {**asdict(run), "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0}


def examined(order: dict[str, Any]) -> dict[str, Any]:
    """What a fresh process finds in the house."""
    pid, line = forked(lambda theirs: _examine(Path(order["home"]), order["acknowledged"], theirs))
    kind, _, *found = _told(line.makefile("r").readline())
    line.close()
    os.waitpid(pid, 0)
    assert kind in ("error", "examined"), kind
    return {"wrong": found}


def _examine(home: Path, acknowledged: dict[str, str], line: socket.socket) -> None:
    # It knows the acts, and so cannot be known to them.
    from faults.aftermath import examine  # noqa: PLC0415

    line.sendall(f"examined\t\t{json.dumps(examine(home, acknowledged))}\n".encode())


def furnished(order: dict[str, Any]) -> dict[str, Any]:
    house = House(home=Path(order["home"]), settings_changes={"disk_reserve_bytes": RESERVE})
    with house.opened() as gate:
        house.furnish(gate)
        gate.keystore.ensure_kek(DOOMED_KEK)
        doomed = gate.vault.seal([OBJECT], kek_id=DOOMED_KEK, context=DOOMED).manifest_jws
        (house.home / "doomed.jws").write_text(doomed)
    # What a process loads at its first act is loaded once, here, and not in each fork under strace.
    with tempfile.TemporaryDirectory(prefix="fgfaults") as scratch:
        shutil.copytree(house.home, Path(scratch) / "home")
        with opened(Path(scratch) / "home") as gate:
            run_acts(gate, lambda *_words: None)
    return {"furnished": True}


def main() -> None:
    # The golden vectors, which a start-up checks, are no matter of disks and take longer than all the rest.
    gateway.app._start_engine = lambda _settings, standing, **_how: EmbeddedEngine(standing.draft.bundle)
    gateway.app.shipped_profile = cache(gateway.app.shipped_profile)
    # A lock that a failed call left behind is not waited for as long as another process's.
    audit.tables.SQLITE_LOCK_WAIT_MS = PATIENCE_MS
    gateway.database._BUSY_S = PATIENCE_MS / 1000
    work = {"furnish": furnished, "attack": attacked, "examine": examined}
    for text in sys.stdin:
        order = json.loads(text)
        try:
            report = work[order["do"]](order)
        except Exception:  # noqa: BLE001 (the test that asked is told)
            report = {"error": traceback.format_exc()}
        sys.stdout.write(json.dumps(report) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
