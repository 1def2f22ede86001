"""What a release costs for each of its items at several sizes, from delivery to download.

    python benchmarks/release_cost.py [--items 500 2000 10000] [--state FILE] [--json]
    python benchmarks/release_cost.py --lookups [--items 500 2000 10000] [--json]

Everything is the gate's own code over a house that the tests' simulators furnish, on SQLite: tiny text files are
delivered by a vehicle, classified and cleansed, requested, unlinked and sealed, judged by policy, looked at and
approved by two operators, judged again with their approvals and signed; then an engineer reads a thousand items,
or all where there are fewer. Each size has a house of its own. Figures are milliseconds of the processor an item,
beside those of the clock, in which fsyncs of a busy disk show. The ratio is the largest size's cost for an item to
the smallest's, of all stages together and of each; target: at most 1.25 of all together.

Progress goes to standard error. With ``--state`` each size's row is written as soon as it is measured, and a run
that was broken off goes on with the sizes that are missing.

``--lookups`` measures alone what is done for each item against everything that its recording or release has, in
milliseconds of the processor, the first time and again: the announced manifest that an arriving item is compared
with, the search of a text for the names of all files, and the release's manifest that a read rests on. A manifest
of so many items is made up for it, so that 10,000 take a minute.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from anonymize.text.planted_strings import PlantedStrings
from gateway.flow.approve import approve, sign_approval
from gateway.flow.build import build_release
from gateway.flow.deciding import instant
from gateway.flow.dossier import review_release
from gateway.flow.gate import Gate
from gateway.flow.intake import Delivery, announce, load_manifest
from gateway.flow.judge import judge_release, load_judged
from gateway.flow.offer import load_offered
from gateway.flow.recording import ReleaseMode, ReleaseState
from gateway.flow.records import ReleaseRow
from gateway.flow.release import MANIFEST_TYPE, load_approved, load_released, release
from gateway.flow.request import ReleaseRequest, request_release
from gateway.flow.serve import read_item
from gateway.vault.jws import sign_statement, thumbprint
from gateway.workers import advance
from simulators import PURPOSE, RECIPIENT, House, cleanse, deliver, grant, manifest_of, vehicle_actor

TARGET = 1.25
STEPS = ("deliver", "advance", "build", "judge", "look", "approve", "publish", "load", "read")
MOST_READ = 1000


class Steps:
    """Seconds of this process and of the clock, by step; each step is told to standard error as it ends."""

    def __init__(self, count: int) -> None:
        self.cpu: dict[str, float] = {}
        self.wall: dict[str, float] = {}
        self._count = count

    def timed(self, name: str, act: Callable[[], Any]) -> Any:
        """What the act returns; its time is added to the step's."""
        wall, cpu = time.perf_counter(), time.process_time()
        done = act()
        self.cpu[name] = self.cpu.get(name, 0.0) + time.process_time() - cpu
        self.wall[name] = self.wall.get(name, 0.0) + time.perf_counter() - wall
        tell(f"{self._count} items: {name} {self.wall[name]:.1f} s, {self.cpu[name]:.1f} s of the processor")
        return done


def tell(line: str) -> None:
    """Progress, apart from the figures."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {line}\n")
    sys.stderr.flush()


def told_of(count: int) -> Callable[[str, int, int], None]:
    """Tells of every tenth of a worker's step."""

    def told(step: str, done: int, total: int) -> None:
        if done % max(1, total // 10) == 0:
            tell(f"{count} items: {step} {done} of {total}")

    return told


def files_of(count: int) -> dict[str, bytes]:
    """As many notes as asked for, no two alike."""
    return {f"notes/{n:06d}.txt": f"第{n}段：天气晴，城市道路，路面干燥。\n".encode() for n in range(count)}


def approved_by(gate: Gate, house: House, made: str, person: str, steps: Steps) -> None:
    who = house.people[person]
    steps.timed("look", lambda: review_release(gate, made, actor=who.actor))

    def sign() -> None:
        with gate.database.read() as session:
            judged = load_judged(gate, session, made)
        approve(gate, made, sign_approval(judged, who.actor.id, who.key, gate.clock()), actor=who.actor)

    steps.timed("approve", sign)


def published(gate: Gate, house: House, count: int) -> dict[str, Any]:
    """One release of so many items, from delivery to download; milliseconds an item by step."""
    steps = Steps(count)
    recording = steps.timed("deliver", lambda: deliver(gate, files_of(count)))
    steps.timed("advance", lambda: advance(gate, recording, progress=told_of(count)))
    wanted = ReleaseRequest(
        recordings=(recording,),
        purpose=PURPOSE,
        recipient=RECIPIENT,
        mode=ReleaseMode.LOCAL,
        expires_at=gate.clock() + timedelta(days=30),
    )
    made = steps.timed("build", lambda: request_release(gate, wanted, actor=house.people["submitter"].actor))
    steps.timed("build", lambda: build_release(gate, made))
    steps.timed("judge", lambda: judge_release(gate, made))
    for person in ("first", "second"):
        approved_by(gate, house, made, person, steps)
    actor = house.people["first"].actor
    steps.timed("publish", lambda: release(gate, load_approved(gate, made, actor=actor), actor=actor))
    with gate.database.read() as session:
        out = steps.timed("load", lambda: load_released(gate, session, made))
    names = [item["name"] for item in out.manifest["items"]]
    if len(names) != count:
        raise RuntimeError(f"items released (got {len(names)}, expected {count})")
    grant(gate, house, made)
    wanted_names = names[:: -(-count // MOST_READ)]
    steps.timed("read", lambda: read_all(gate, house, made, wanted_names))
    of = {name: len(wanted_names) if name == "read" else count for name in STEPS}
    cpu = {name: steps.cpu[name] / of[name] * 1e3 for name in STEPS}
    wall = {name: steps.wall[name] / of[name] * 1e3 for name in STEPS}
    return {
        "items": count,
        "read": len(wanted_names),
        "cpu_ms_per_item": round(sum(cpu.values()), 4),
        "wall_ms_per_item": round(sum(wall.values()), 4),
        "wall_s": round(sum(steps.wall.values()), 3),
        "cpu_ms_per_item_by_step": {name: round(value, 4) for name, value in cpu.items()},
        "load_average": os.getloadavg()[0],
    }


def read_all(gate: Gate, house: House, made: str, names: Sequence[str]) -> None:
    """Download items one after the other, as an engineer's requests do behind HTTP."""
    engineer = house.people["engineer"].actor
    for name in names:
        reading = read_item(gate, made, name, actor=engineer, purpose=PURPOSE, wanted=None)
        if sum(map(len, reading.chunks)) != reading.size:
            raise RuntimeError(f"{name} was not read to its end (expected {reading.size} bytes)")
        reading.settle()


def measure(sizes: Sequence[int], state: Path | None = None) -> dict[str, Any]:
    """The rows of all sizes, and how the largest compares with the smallest.

    Args:
        sizes: Numbers of items, smallest first.
        state: Where rows are kept as they come; those that are there are not measured again.
    """
    known: dict[str, Any] = json.loads(state.read_text()) if state is not None and state.exists() else {}
    warm = False
    for count in sizes:
        if str(count) in known:
            tell(f"{count} items: known from {state}")
            continue
        with tempfile.TemporaryDirectory() as folder:
            house = House(home=Path(folder) / "home")
            with house.opened() as gate:
                house.furnish(gate)
                if not warm:
                    published(gate, house, 20)  # loads analyzers and engines once
                    warm = True
            house = House(home=Path(folder) / "measured")
            with house.opened() as gate:
                house.furnish(gate)
                known[str(count)] = published(gate, house, count)
        if state is not None:
            state.write_text(json.dumps(known, indent=1))
    rows = [known[str(count)] for count in sizes]
    first, last = rows[0], rows[-1]
    ratio = last["cpu_ms_per_item"] / first["cpu_ms_per_item"]
    each = {
        name: round(last["cpu_ms_per_item_by_step"][name] / value, 3)
        for name, value in first["cpu_ms_per_item_by_step"].items()
        if value
    }
    return {"rows": rows, "ratio": round(ratio, 3), "ratio_by_step": each, "target": TARGET}


def lookups(count: int) -> dict[str, float]:
    """Milliseconds of the processor for each thing that is looked up for an item among so many."""
    with tempfile.TemporaryDirectory() as folder:
        house = House(home=Path(folder) / "home")
        with house.opened() as gate:
            house.furnish(gate)
            tell(f"{count} items: announced")
            sent = Delivery(manifest=manifest_of(files_of(count)), source="vehicle", manifest_signed=True)
            recording = announce(gate, sent, actor=vehicle_actor())
            made = made_up(gate, house, count)
            tell(f"{count} items: looked up")
            names = PlantedStrings([item.name.rpartition("/")[2] for item in sent.manifest.items])
            text = next(iter(files_of(1).values())).decode()
            with gate.database.read() as session:
                return {
                    **first_and_again("announced", lambda: load_manifest(gate, session, recording), session),
                    **first_and_again("planted", lambda: names.found_in(text), session),
                    **first_and_again("offered", lambda: load_offered(gate, session, made), session),
                }


def first_and_again(name: str, act: Callable[[], Any], session: Any) -> dict[str, float]:
    """The first time, and the median of the next twenty; the session reads from the database each time."""
    spent = []
    for _ in range(21):
        session.expire_all()
        started = time.thread_time()
        act()
        spent.append((time.thread_time() - started) * 1e3)
    return {
        f"{name}_first_ms": round(spent[0], 3),
        f"{name}_again_ms": round(statistics.median(spent[1:]), 3),
    }


def made_up(gate: Gate, house: House, count: int) -> str:
    """A release that went out, as far as its row and signed manifest go."""
    wanted = ReleaseRequest(
        recordings=(cleanse(gate, files_of(1)),),
        purpose=PURPOSE,
        recipient=RECIPIENT,
        mode=ReleaseMode.LOCAL,
        expires_at=gate.clock() + timedelta(days=30),
    )
    made = request_release(gate, wanted, actor=house.people["submitter"].actor)
    items = [
        {
            "name": f"{number:024x}.txt",
            "media_type": "text/plain",
            "class": "VEH_ID",
            "level": "S1_PROCESSED",
            "size": 64,
            "sha256": f"{number:064x}",
        }
        for number in range(count)
    ]
    manifest = {
        "version": 1,
        "release": made,
        "digest": "0" * 64,
        "purpose": PURPOSE,
        "recipient": RECIPIENT,
        "mode": ReleaseMode.LOCAL.value,
        "destination_zone": "in_zone",
        "expires_at": instant(wanted.expires_at),
        "items": items,
        "approvals": [],
    }
    key = gate.keystore.statement_key("release")
    with gate.database.transaction() as session:
        row = session.get_one(ReleaseRow, made)
        row.digest, row.state = "0" * 64, ReleaseState.RELEASED
        row.manifest_jws = sign_statement(key, MANIFEST_TYPE, thumbprint(key), manifest)
    return made


def main() -> None:
    """Print what an item costs at each size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, nargs="+", default=[500, 2000, 10000])
    parser.add_argument("--state", type=Path, help="file that keeps the rows of sizes that are done")
    parser.add_argument(
        "--lookups", action="store_true", help="only what is looked up for an item among so many"
    )
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.lookups:
        found = {count: lookups(count) for count in sorted(arguments.items)}
        lines = [
            f"{count} items: " + ", ".join(f"{k} {v}" for k, v in row.items()) for count, row in found.items()
        ]
        sys.stdout.write((json.dumps(found, indent=1) if arguments.json else "\n".join(lines)) + "\n")
        return
    answer = measure(sorted(arguments.items), arguments.state)
    if arguments.json:
        sys.stdout.write(json.dumps(answer, indent=1) + "\n")
        return
    names = ("items", "CPU ms an item", "wall ms", *STEPS)
    sys.stdout.write("  ".join(f"{name:>14}" for name in names) + "\n")
    for row in answer["rows"]:
        each = row["cpu_ms_per_item_by_step"]
        values = (row["items"], row["cpu_ms_per_item"], row["wall_ms_per_item"])
        values += tuple(each[name] for name in STEPS)
        sys.stdout.write("  ".join(f"{value:>14.4g}" for value in values) + "\n")
    by_step = ", ".join(f"{name} {value}" for name, value in answer["ratio_by_step"].items())
    sys.stdout.write(
        f"largest to smallest: {answer['ratio']} (target: at most {answer['target']}); {by_step}\n"
    )


if __name__ == "__main__":
    main()
