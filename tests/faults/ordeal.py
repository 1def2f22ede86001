"""A process of its own that carries recordings through the gate, dies at chosen points and is revived.

Orders come as JSON lines on standard input, reports go out as JSON lines. The analyzer is built and the golden
vectors are run once, here; every victim and every survivor is a fork of this process, so that what each costs is
its own work. Nothing of the product is replaced: the functions named in ``WATCHED`` are wrapped to count.
"""

import copy
import hashlib
import json
import os
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import wraps
from pathlib import Path
from typing import Any

import sqlalchemy as sa

import gateway.app
from anonymize.profile import shipped_profile
from anonymize.text.analyzer import TextAnalyzer
from audit.events import Outcome
from audit.ledger import Ledger
from gateway.app import open_gate
from gateway.database import Database
from gateway.errors import EvidenceError, StageOrderError
from gateway.flow.approve import approve, sign_approval
from gateway.flow.build import build_release
from gateway.flow.classify import readable_original
from gateway.flow.erase import erase_recording
from gateway.flow.gate import Gate
from gateway.flow.intake import Delivery, announce, load_quarantined, receive_item
from gateway.flow.judge import judge_release, load_judged
from gateway.flow.recording import ItemState, ReleaseMode
from gateway.flow.records import (
    ApprovalRow,
    EvidenceRow,
    GrantRow,
    ItemRow,
    RecordingRow,
    ReleaseItemRow,
    ReleaseRecordingRow,
    ReleaseRow,
)
from gateway.flow.release import GrantTerms, issue_grant, load_approved, load_released, release
from gateway.flow.request import ReleaseRequest, request_release
from gateway.flow.serve import read_item, read_manifest
from gateway.scheduler import run_job
from gateway.vault.errors import KeyDestroyedError, VaultError
from gateway.vault.keys import Keystore
from gateway.vault.store import Vault
from gateway.workers import advance, stalled
from policies.bundle import shipped_bundle
from policies.embedded import EmbeddedEngine
from policies.engine import start_engine
from policies.vectors import shipped_vectors
from simulators import (
    PASSPHRASE,
    PURPOSE,
    RECIPIENT,
    SMALL_CAPTURED,
    House,
    csv_track,
    look,
    manifest_of,
    vehicle_actor,
)

WATCHED = (
    (Ledger, "append"),
    (Vault, "seal"),
    (Vault, "delete"),
    (Keystore, "ensure_kek"),
    (Keystore, "destroy_kek"),
)
LATER = timedelta(hours=1)
EFFECTS = {
    "intake:recording:receive": sa.select(sa.func.count(RecordingRow.id)),
    "release:release:request": sa.select(sa.func.count(ReleaseRow.id)),
    "approve:release:sign": sa.select(sa.func.count()).select_from(ApprovalRow),
    "release:release:publish": sa.select(sa.func.count(ReleaseRow.released_at)),
}


class Deathwatch:
    """Counts the points that work passes and kills the process at one of them."""

    def __init__(self, kill_at: int | None, log: Path) -> None:
        self.kill_at = kill_at
        self.log = log
        self.stage = "open"
        self.points: list[str] = []

    def point(self, operation: str, when: str) -> None:
        self.points.append(f"{self.stage} {operation} {when}")
        if len(self.points) == self.kill_at:
            self.log.write_text(self.points[-1])
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(self) -> None:
        for owner, name in WATCHED:
            setattr(owner, name, self._counted(getattr(owner, name), f"{owner.__name__}.{name}"))
        Database.transaction = self._counted_commit(Database.transaction)  # type: ignore[method-assign]

    def _counted(self, real: Callable[..., Any], operation: str) -> Callable[..., Any]:
        @wraps(real)
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.point(operation, "before")
            result = real(*args, **kwargs)
            self.point(operation, "after")
            return result

        return counted

    def _counted_commit(self, real: Callable[..., Any]) -> Callable[..., Any]:
        @contextmanager
        def counted(database: Database) -> Iterator[Any]:
            with real(database) as session:
                yield session
                self.point("Database.commit", "before")
            self.point("Database.commit", "after")

        return counted


class Ordeal:
    """One house, carried on by forks of this process."""

    def __init__(self, analyzer: TextAnalyzer, house: House) -> None:
        self.analyzer = analyzer
        self.house = house

    @contextmanager
    def opened(self, later: timedelta) -> Iterator[Gate]:
        clock = lambda: datetime.now(UTC) + later  # noqa: E731
        with open_gate(self.house.settings(), keystore=self.house.keystore, clock=clock) as gate:
            # The product builds it at its first use; a fork of a process that has it need not build it again.
            gate.instruments.__dict__["analyzer"] = self.analyzer
            yield gate

    def copied(self, home: Path) -> "Ordeal":
        """The same house in another directory, as a restored backup would be."""
        shutil.copytree(self.house.home, home)
        house = copy.copy(self.house)
        house.home = home
        house.keystore = Keystore.open(home / "keystore", PASSPHRASE, allow_insecure_test_cost=True)
        return Ordeal(self.analyzer, house)

    def acknowledge(self, position: int) -> None:
        """What the vehicle remembers: this item was acknowledged."""
        with (self.house.home / "acknowledged").open("a") as out:
            out.write(f"{position}\n")

    def acknowledged(self) -> list[int]:
        path = self.house.home / "acknowledged"
        return sorted({int(line) for line in path.read_text().split()}) if path.exists() else []

    def carry(self, gate: Gate, watch: Deathwatch, recording: str, files: dict[str, bytes]) -> None:
        """Everything from the announcement to the last byte read; whatever is done already is not done again."""
        house = self.house
        operator = house.people["first"].actor
        watch.stage = "announce"
        manifest = manifest_of(files, recording=recording, captured=SMALL_CAPTURED)
        delivery = Delivery(manifest=manifest, source="vehicle", manifest_signed=True)
        announce(gate, delivery, actor=vehicle_actor())
        watch.stage = "receive"
        for position, item in enumerate(manifest.items):
            receive_item(gate, recording, position, [files[item.name]], actor=vehicle_actor())
            self.acknowledge(position)
        watch.stage = "advance"
        if recording in stalled(gate):
            assert advance(gate, recording) is not None
        watch.stage = "request"
        made = self._release_of(gate, recording)
        if made is None:
            request = ReleaseRequest(
                recordings=[recording],
                purpose=PURPOSE,
                recipient=RECIPIENT,
                mode=ReleaseMode.LOCAL,
                expires_at=datetime.now(UTC) + timedelta(days=60),
            )
            made = request_release(gate, request, actor=house.people["submitter"].actor)
        watch.stage = "build"
        if self._state(gate, made) == "requested":
            build_release(gate, made)
        watch.stage = "judge"
        if self._state(gate, made) == "built":
            judge_release(gate, made)
        watch.stage = "approve"
        if self._state(gate, made) in ("judged", "approved"):
            for person in ("first", "second"):
                self._sign(gate, made, person)
            watch.stage = "publish"
            release(gate, load_approved(gate, made, actor=operator), actor=operator)
        watch.stage = "grant"
        with gate.database.read() as session:
            granted = session.scalar(sa.select(GrantRow.id).where(GrantRow.release_id == made))
        if granted is None:
            terms = GrantTerms(
                release=made, principal="engineer", not_after=datetime.now(UTC) + timedelta(days=50)
            )
            issue_grant(gate, terms, actor=operator)
        watch.stage = "read"
        self.read(gate, made)

    def _sign(self, gate: Gate, made: str, person: str) -> None:
        look(gate, self.house, made, person)
        with gate.database.read() as session:
            judged = load_judged(gate, session, made)
        who = self.house.people[person]
        approve(gate, made, sign_approval(judged, person, who.key, gate.clock()), actor=who.actor)

    @staticmethod
    def _release_of(gate: Gate, recording: str) -> str | None:
        with gate.database.read() as session:
            return session.scalar(
                sa.select(ReleaseRecordingRow.release_id).where(ReleaseRecordingRow.recording_id == recording)
            )

    @staticmethod
    def _state(gate: Gate, made: str) -> str:
        with gate.database.read() as session:
            return session.get_one(ReleaseRow, made).state

    def read(self, gate: Gate, made: str) -> dict[str, bool]:
        """Every item of a release as its recipient reads it: whether it has the announced digest."""
        engineer = self.house.people["engineer"].actor
        read_manifest(gate, made, actor=engineer, purpose=PURPOSE)
        with gate.database.read() as session:
            entries = load_released(gate, session, made).manifest["items"]
        found = {}
        for entry in entries:
            reading = read_item(gate, made, entry["name"], actor=engineer, purpose=PURPOSE, wanted=None)
            content = b"".join(reading.chunks)
            found[entry["name"]] = hashlib.sha256(content).hexdigest() == entry["sha256"]
        return found

    def facts(self, gate: Gate, recording: str, files: dict[str, bytes]) -> dict[str, Any]:
        """What anybody finds who opens this house now."""
        verified = gate.ledger.verify()
        orphans = gate.ledger.orphan_intents(timedelta(0))
        with gate.database.read() as session:
            row = session.get(RecordingRow, recording)
            items = list(
                session.scalars(
                    sa.select(ItemRow).where(ItemRow.recording_id == recording).order_by(ItemRow.position)
                )
            )
            releases = list(session.scalars(sa.select(ReleaseRow)))
            evidence = [
                f"{'release' if any(r.id == e.owner_id for r in releases) else 'item'} {e.stage}"
                for e in session.scalars(sa.select(EvidenceRow).order_by(EvidenceRow.id))
                if e.owner_id in {i.id for i in items} | {r.id for r in releases}
            ]
            approvals = {
                r.id: session.scalar(
                    sa.select(sa.func.count())
                    .select_from(ApprovalRow)
                    .where(ApprovalRow.release_id == r.id, ApprovalRow.digest == r.digest)
                )
                for r in releases
            }
            built = session.scalars(sa.select(ReleaseItemRow.item_id)).all()
        return {
            "ledger_size": verified.size,
            "open_intents": verified.open_intents,
            "orphans": {o.index: o.event.type.value for o in orphans},
            "recording": None if row is None else row.state,
            "items": [i.state for i in items],
            "acknowledged": self.acknowledged(),
            "intact": self._intact(gate, items, list(files.values())),
            "evidence": sorted(evidence),
            "releases": {r.id: r.state for r in releases},
            "approvals": approvals,
            "built_once": len(built) == len(set(built)),
            "unfounded": self._unfounded(gate),
        }

    @staticmethod
    def _unfounded(gate: Gate) -> list[str]:
        """Acts that the ledger calls completed and that left nothing behind."""
        claimed: dict[str, set[tuple[str, str]]] = {kind: set() for kind in EFFECTS}
        for entry in gate.ledger.entries():
            event = entry.event
            if event.type.value in EFFECTS and event.outcome is Outcome.COMPLETED:
                claimed[event.type.value].add((event.object, event.actor))
        with gate.database.read() as session:
            there = {kind: session.scalar(statement) or 0 for kind, statement in EFFECTS.items()}
        return sorted(kind for kind in EFFECTS if len(claimed[kind]) > there[kind])

    @staticmethod
    def _intact(gate: Gate, items: list[ItemRow], contents: list[bytes]) -> list[int]:
        """Positions whose sealed original opens to the bytes that were delivered."""
        found = []
        for item in items:
            if item.state in (ItemState.AWAITED, ItemState.ERASED):
                continue
            try:
                with gate.database.read() as session:
                    quarantined = load_quarantined(gate, session, item.id)
                if readable_original(gate, quarantined, encoding=None).read() == contents[item.position]:
                    found.append(item.position)
            except (EvidenceError, StageOrderError, VaultError):
                continue
        return found


def drive(seed: int) -> dict[str, bytes]:
    """A drive that shares no file with that of another seed."""
    return {
        "drive.csv": csv_track(400 + seed),
        "notes.txt": f"天气晴，城市道路 {seed}。电话13800138000。\n".encode(),
    }


def forked(work: Callable[[], Any]) -> tuple[bool, Any]:
    """Run work in a fork; whether it was killed, and what it returned."""
    with tempfile.TemporaryFile("w+") as out:
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                json.dump(work(), out)
                out.flush()
                status = 0
            except BaseException:  # noqa: BLE001 (a fork reports and never returns)
                json.dump({"error": traceback.format_exc()}, out)
                out.flush()
            finally:
                os._exit(status)
        _, status = os.waitpid(pid, 0)
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGKILL
            return True, None
        out.seek(0)
        return False, json.load(out)


def victim(ordeal: Ordeal, order: dict[str, Any], kill_at: int | None, later: timedelta) -> list[str]:
    """Carry on until the kill point; returning at all means that it was not reached."""
    watch = Deathwatch(kill_at, ordeal.house.home / "killed-at")
    with ordeal.opened(later) as gate:
        watch.watch()
        WORK[order["work"]](ordeal, gate, watch, order)
    return watch.points


def _carry(ordeal: Ordeal, gate: Gate, watch: Deathwatch, order: dict[str, Any]) -> None:
    ordeal.carry(gate, watch, order["recording"], drive(order["seed"]))


def _erase(ordeal: Ordeal, gate: Gate, watch: Deathwatch, order: dict[str, Any]) -> None:
    watch.stage = "erase"
    erase_recording(gate, order["recording"], actor=ordeal.house.people["officer"].actor)


def _retention(_ordeal: Ordeal, gate: Gate, watch: Deathwatch, _order: dict[str, Any]) -> None:
    watch.stage = "retention"
    run_job(gate, "retention")


WORK = {"carry": _carry, "erase": _erase, "retention": _retention}


def survivor(ordeal: Ordeal, order: dict[str, Any], later: timedelta) -> dict[str, Any]:
    """Reopen after a kill, look, go on, look again."""
    files = drive(order["seed"])
    with ordeal.opened(later) as gate:
        before = ordeal.facts(gate, order["recording"], files)
        quiet = Deathwatch(None, ordeal.house.home / "unused")
        WORK[order["work"]](ordeal, gate, quiet, order)
        after = ordeal.facts(gate, order["recording"], files)
        read = {} if order["work"] == "erase" else ordeal.read(gate, next(iter(after["releases"])))
        opens = _opens(gate, order["recording"])
    blobs = sorted(p.name for p in (ordeal.house.home / "objects").iterdir())
    return {"before": before, "after": after, "read": read, "opens": opens, "blobs": len(blobs)}


def _opens(gate: Gate, recording: str) -> bool:
    with gate.database.read() as session:
        kek = session.get_one(RecordingRow, recording).kek_id
    try:
        gate.keystore.wrap_dek(kek, bytes(32), b"probe")
    except KeyDestroyedError:
        return False
    return True


def killed_once(base: Ordeal, order: dict[str, Any]) -> dict[str, Any]:
    """A copy of the base house, killed at one point and revived."""
    with tempfile.TemporaryDirectory(prefix="fgordeal") as directory:
        ordeal = base.copied(Path(directory) / "home")
        later = timedelta(days=order.get("days", 0))
        killed, points = forked(lambda: victim(ordeal, order, order["kill_at"], later))
        if not killed:
            return {"killed": False, "points": points}
        point = (ordeal.house.home / "killed-at").read_text()
        _, report = forked(lambda: survivor(ordeal, order, later + LATER))
        return {"killed": True, "point": point, **report}


def killed_again_and_again(base: Ordeal, order: dict[str, Any]) -> dict[str, Any]:
    """The same house, killed every ``step`` points until the work is done."""
    points = []
    for attempt in range(order["attempts"]):
        later = LATER * attempt
        killed, _ = forked(lambda later=later: victim(base, order, order["step"], later))
        if not killed:
            break
        points.append((base.house.home / "killed-at").read_text())
    _, report = forked(lambda: survivor(base, order, LATER * (order["attempts"] + 1)))
    return {"killed": True, "points": points, **report}


def furnished(order: dict[str, Any], analyzer: TextAnalyzer) -> Ordeal:
    house = House(home=Path(order["home"]), database_url=order["database_url"])
    ordeal = Ordeal(analyzer, house)
    with ordeal.opened(timedelta(0)) as gate:
        house.furnish(gate)
    if order.get("carried"):
        with ordeal.opened(timedelta(0)) as gate:
            unwatched = Deathwatch(None, house.home / "unused")
            ordeal.carry(gate, unwatched, order["carried"], drive(order["seed"]))
    return ordeal


def main() -> None:
    bundle = shipped_bundle()
    start_engine(EmbeddedEngine(bundle), shipped_vectors(bundle)).close()
    gateway.app._start_engine = lambda _settings, standing, **_how: EmbeddedEngine(standing.draft.bundle)
    analyzer = TextAnalyzer(shipped_profile("cn-2026").profile.text)
    houses: dict[str, Ordeal] = {}
    running: dict[int, tuple[str, Any]] = {}
    for line in sys.stdin:
        order = json.loads(line)
        if order["do"] == "furnish":
            houses[order["house"]] = furnished(order, analyzer)
            tell(json.dumps({"id": order["id"], "furnished": True}))
            continue
        while len(running) >= (os.cpu_count() or 1):
            collect(running)
        ordeal = houses[order["house"]]
        work = killed_once if order["do"] == "kill" else killed_again_and_again
        out = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed when the fork is collected)
        pid = os.fork()
        if pid == 0:
            try:
                json.dump({"id": order["id"], **work(ordeal, order)}, out)
            except BaseException:  # noqa: BLE001 (a fork reports and never returns)
                json.dump({"id": order["id"], "error": traceback.format_exc()}, out)
            finally:
                out.flush()
                os._exit(0)
        running[pid] = (order["id"], out)
        if order.get("last"):
            while running:
                collect(running)
            tell(json.dumps({"batch": "done"}))


def tell(report: str) -> None:
    sys.stdout.write(report + "\n")
    sys.stdout.flush()


def collect(running: dict[int, tuple[str, Any]]) -> None:
    pid, _ = os.wait()
    _, out = running.pop(pid)
    with out:
        out.seek(0)
        tell(out.read())


if __name__ == "__main__":
    main()
