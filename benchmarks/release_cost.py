"""What a release costs for each of its items: built, judged, approved by two and signed, at several sizes.

    python benchmarks/release_cost.py [--items 500 2000 10000] [--json]

Everything is the gate's own code over a house that the tests' simulators furnish, on SQLite: tiny text files are
delivered by a vehicle, classified and cleansed (told as preparation), then requested, unlinked and sealed, judged
by policy, looked at and approved by two operators, judged again with their approvals and signed. Each size has a
house of its own. Figures are milliseconds of the processor for an item, beside those of the clock, in which fsyncs
of a busy disk show. The ratio is the largest size's cost for an item to the smallest's; target: at most 1.25.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from gateway.flow.approve import approve, sign_approval
from gateway.flow.build import build_release
from gateway.flow.dossier import review_release
from gateway.flow.gate import Gate
from gateway.flow.judge import judge_release, load_judged
from gateway.flow.recording import ReleaseMode
from gateway.flow.release import load_approved, load_released, release
from gateway.flow.request import ReleaseRequest, request_release
from simulators import PURPOSE, RECIPIENT, House, cleanse

TARGET = 1.25
STEPS = ("build", "judge", "look", "approve", "publish", "load")


class Steps:
    """Seconds of this process and of the clock, by step."""

    def __init__(self) -> None:
        self.cpu: dict[str, float] = {}
        self.wall: dict[str, float] = {}

    def timed(self, name: str, act: Callable[[], Any]) -> Any:
        """What the act returns; its time is added to the step's."""
        wall, cpu = time.perf_counter(), time.process_time()
        done = act()
        self.cpu[name] = self.cpu.get(name, 0.0) + time.process_time() - cpu
        self.wall[name] = self.wall.get(name, 0.0) + time.perf_counter() - wall
        return done


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
    """One release of so many items, from delivery to its signed manifest; milliseconds an item by step."""
    steps = Steps()
    recording = steps.timed("preparation", lambda: cleanse(gate, files_of(count)))
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
    if len(out.manifest["items"]) != count:
        raise RuntimeError(f"items released (got {len(out.manifest['items'])}, expected {count})")
    each = {name: steps.cpu[name] / count * 1e3 for name in ("preparation", *STEPS)}
    return {
        "items": count,
        "cpu_ms_per_item": round(sum(each[name] for name in STEPS), 4),
        "wall_ms_per_item": round(sum(steps.wall[name] for name in STEPS) / count * 1e3, 4),
        "wall_s": round(sum(steps.wall[name] for name in STEPS), 3),
        "cpu_ms_per_item_by_step": {name: round(value, 4) for name, value in each.items()},
    }


def measure(sizes: Sequence[int]) -> dict[str, Any]:
    """The rows of all sizes, and how the largest compares with the smallest."""
    rows = []
    for count in sizes:
        with tempfile.TemporaryDirectory() as folder:
            house = House(home=Path(folder) / "home")
            with house.opened() as gate:
                house.furnish(gate)
                if not rows:
                    published(gate, house, 20)  # loads analyzers and engines once
            house = House(home=Path(folder) / "measured")
            with house.opened() as gate:
                house.furnish(gate)
                rows.append(published(gate, house, count))
    ratio = rows[-1]["cpu_ms_per_item"] / rows[0]["cpu_ms_per_item"]
    return {"rows": rows, "ratio": round(ratio, 3), "target": TARGET}


def main() -> None:
    """Print what an item costs at each size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, nargs="+", default=[500, 2000, 10000])
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    answer = measure(sorted(arguments.items))
    if arguments.json:
        sys.stdout.write(json.dumps(answer, indent=1) + "\n")
        return
    names = ("items", "CPU ms an item", "wall ms", *STEPS, "(preparation)")
    sys.stdout.write("  ".join(f"{name:>14}" for name in names) + "\n")
    for row in answer["rows"]:
        each = row["cpu_ms_per_item_by_step"]
        values = (row["items"], row["cpu_ms_per_item"], row["wall_ms_per_item"])
        values += tuple(each[name] for name in (*STEPS, "preparation"))
        sys.stdout.write("  ".join(f"{value:>14.4g}" for value in values) + "\n")
    sys.stdout.write(f"largest to smallest: {answer['ratio']} (target: at most {answer['target']})\n")


if __name__ == "__main__":
    main()
