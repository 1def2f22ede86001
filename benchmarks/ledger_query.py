"""Latency of auditors' queries on a large ledger, against looking up one entry by its index in the same run.

    python benchmarks/ledger_query.py [--entries 10000000] [--postgresql] [--samples 200] [--folder DIR] [--json]

The ledger is a real one: entries are encoded, hashed and chained by the code that appends them, only many to a
commit; indexes are made once the entries are there, by ``create_tables``, as on a ledger that an older version
left. It tells of a year of a fleet: intents and outcomes of reads by 300 people, intake and cleansing of what 500
vehicles recorded, releases to 20 recipients, refusals, erasures.

For each criterion it draws values at random and takes the newest page of 100 entries, and a page of 100 below a
random entry; then inclusion proofs, and each regulator's question over the last 30 days. A page holds 100 entries,
each decoded and checked against its hash: a ratio of 100 is what as many lookups would cost.
"""

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, text

from audit import merkle
from audit.batch import Inserts, Pending, Rows
from audit.checkpoint import CheckpointSigner
from audit.events import Event, EventType, Outcome
from audit.ledger import Ledger, create_tables
from audit.orphans import OpenIntents, find_orphans
from audit.query import EntryFilter, find_page
from audit.questions import Question, ask
from audit.snapshot import Snapshot, load_head
from audit.tables import entries as entry_table
from audit.tables import write_connection

END = datetime(2026, 11, 1, tzinfo=UTC)
YEAR = timedelta(days=365)
MONTH = timedelta(days=30)
PAGE = 100
BATCH = 2000
PEOPLE, VEHICLES, RECIPIENTS, RULES = 300, 500, 20, 30
PURPOSES = ("training", "simulation", "validation", "mapping", "incident")
PER_RECORDING, PER_RELEASE = 2000, 20_000
TREATMENT = (
    EventType.INTAKE_ITEM_RECEIVE,
    EventType.CLASSIFY_ITEM_CLASSIFY,
    EventType.CLEANSE_ITEM_CLEANSE,
)


class NoDetail:
    """No entry here has detail, so nothing is ever sealed."""

    def seal(self, subject: str, plaintext: bytes) -> bytes:
        raise AssertionError(subject, plaintext)

    def open(self, subject: str, sealed: bytes) -> bytes:
        raise AssertionError(subject, sealed)


class Fleet:
    """A year of acts, drawn from a seed; it is asked for the events of one place after another."""

    def __init__(self, entries: int) -> None:
        self._draw = random.Random(5)  # noqa: S311 (a history, no secret)
        self.recordings = max(1, entries // PER_RECORDING)
        self.releases = max(1, entries // PER_RELEASE)
        self._total = entries

    def act(self, at: int) -> Iterator[Event]:
        """One act from index ``at`` on: an intent and what became of it, or an entry alone."""
        pick = self._draw.random
        reached = at / self._total
        recording = f"rec-{int(self.recordings * reached * pick() ** 0.2):07}"
        chance = pick()
        if chance < 0.80:
            yield from self._read(at, int(self.releases * reached * pick() ** 0.2), refused=chance < 0.005)
        elif chance < 0.998:
            kind = TREATMENT[int(pick() * 3)]
            item = f"{recording}/{int(pick() * 400):04}"
            vehicle = f"veh-{int(pick() * VEHICLES):04}"
            actor = vehicle if kind is EventType.INTAKE_ITEM_RECEIVE else "gate"
            yield from _both(at, kind, actor, item, recording=recording, item=item, vehicle=vehicle)
        elif chance < 0.9989:
            kind = EventType.INTAKE_RECORDING_RECEIVE
            vehicle = f"veh-{int(pick() * VEHICLES):04}"
            yield from _both(at, kind, vehicle, recording, recording=recording, vehicle=vehicle)
        elif chance < 0.9996:
            kind = EventType.ERASE_RAW_EXPIRE
            yield from _both(at, kind, "gate", recording, recording=recording, facts={"originals": 12})
        else:
            release = f"rel-{int(self.releases * reached):06}"
            yield from _both(
                at,
                EventType.RELEASE_RELEASE_PUBLISH,
                self._person(),
                release,
                release=release,
                recipient=f"team-{int(pick() * RECIPIENTS):02}",
                purpose=PURPOSES[int(pick() * len(PURPOSES))],
                facts={"recipient_area_m2": at, "recipient_subjects": at // 10},
            )

    def _read(self, at: int, number: int, *, refused: bool) -> Iterator[Event]:
        pick = self._draw.random
        release, item = f"rel-{number:06}", f"item-{int(pick() * 1000):04}"
        told: dict[str, Any] = {
            "release": release,
            "item": item,
            "grant": f"grant-{number % 997:04}",
            "recipient": f"team-{number % RECIPIENTS:02}",
            "purpose": PURPOSES[number % len(PURPOSES)],
        }
        if refused:
            yield Event(
                type=EventType.SERVE_ITEM_READ,
                outcome=Outcome.REFUSED,
                actor=self._person(),
                object=item,
                rule=f"serve/rule_{int(pick() * RULES):02}",
                **told,
            )
            return
        digest = self._draw.randbytes(32).hex()
        yield from _both(
            at, EventType.SERVE_ITEM_READ, self._person(), item, digests={"content": digest}, **told
        )

    def _person(self) -> str:
        return f"person-{int(PEOPLE * self._draw.random() ** 2):03}"


def _both(at: int, kind: EventType, actor: str, what: str, **fields: Any) -> Iterator[Event]:
    """An intent and its completion; of one in 200,000 the process died in between."""
    yield Event(type=kind, outcome=Outcome.INTENT, actor=actor, object=what, **fields)
    if at % 200_000 != 77_777:
        yield Event(type=kind, outcome=Outcome.COMPLETED, actor=actor, object=what, intent=at, **fields)


def build(engine: Engine, count: int, progress: Callable[[int], None]) -> Fleet:
    """Append ``count`` entries in commits of 2,000, without indexes; then make the indexes."""
    fleet = Fleet(count)
    create_tables(engine)
    with write_connection(engine) as connection, connection.begin():
        for index in entry_table.indexes:
            index.drop(connection)
    inserts = Inserts(engine.dialect)
    waiting: list[Event] = []
    at = 0
    with write_connection(engine) as connection:
        while at < count:
            now = END - YEAR + YEAR * (at / count)
            with connection.begin():
                rows = Rows(load_head(connection, lock=True), now)
                for _ in range(min(BATCH, count - at)):
                    if not waiting:
                        waiting.extend(fleet.act(at))
                    rows.add(Pending(waiting.pop(0), None))
                    at += 1
                rows.write(connection, inserts)
            if at % (BATCH * 50) == 0:
                progress(at)
    create_tables(engine)
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("ANALYZE"))
    return fleet


def latencies(samples: int, act: Callable[[], object]) -> dict[str, float]:
    """Milliseconds of ``act``: p50 and p99."""
    taken = []
    for _ in range(samples):
        started = time.perf_counter()
        act()
        taken.append((time.perf_counter() - started) * 1000)
    taken.sort()
    return {"p50_ms": statistics.median(taken), "p99_ms": taken[min(len(taken) - 1, len(taken) * 99 // 100)]}


def filters(fleet: Fleet, draw: random.Random) -> dict[str, Callable[[], EntryFilter]]:
    """What auditors look for, each with a value that is drawn anew."""

    def some(prefix: str, count: int, width: int) -> str:
        return f"{prefix}{draw.randrange(count):0{width}}"

    def moment() -> datetime:
        return END - YEAR * draw.random()

    return {
        "actor": lambda: EntryFilter(actor=some("person-", PEOPLE, 3)),
        "object": lambda: EntryFilter(object=some("item-", 1000, 4)),
        "vehicle": lambda: EntryFilter(vehicle=some("veh-", VEHICLES, 4)),
        "recording": lambda: EntryFilter(recording=some("rec-", fleet.recordings, 7)),
        "release": lambda: EntryFilter(release=some("rel-", fleet.releases, 6)),
        "purpose": lambda: EntryFilter(purpose=draw.choice(PURPOSES)),
        "recipient": lambda: EntryFilter(recipient=some("team-", RECIPIENTS, 2)),
        "rule": lambda: EntryFilter(rule=some("serve/rule_", RULES, 2)),
        "denial": lambda: EntryFilter(outcome=Outcome.REFUSED),
        "type, outcome": lambda: EntryFilter(types=(EventType.SERVE_ITEM_READ,), outcome=Outcome.REFUSED),
        "types": lambda: EntryFilter(types=TREATMENT, outcome=Outcome.COMPLETED),
        "time": lambda: EntryFilter(until=moment()),
        "actor, time": lambda: EntryFilter(actor=some("person-", PEOPLE, 3), until=moment()),
    }


def measure(ledger: Ledger, snapshot: Snapshot, fleet: Fleet, samples: int) -> dict[str, Any]:
    """Every figure, each with its ratio to a lookup by index."""
    draw = random.Random(6)  # noqa: S311 (samples, no secret)

    def anywhere() -> int:
        return draw.randrange(snapshot.size)

    latencies(samples, lambda: snapshot.entry(anywhere()))
    lookup = latencies(samples, lambda: snapshot.entry(anywhere()))
    found: dict[str, Any] = {"lookup": lookup}
    for name, make in filters(fleet, draw).items():
        found[f"page by {name}"] = latencies(
            samples, lambda make=make: find_page(snapshot, make(), limit=PAGE)
        )
        found[f"page by {name}, deep"] = latencies(
            samples, lambda make=make: find_page(snapshot, make(), limit=PAGE, after=anywhere())
        )
    found["inclusion proof"] = latencies(samples, lambda: ledger.inclusion_proof(anywhere(), snapshot.size))
    for figures in found.values():
        figures["ratio_p50"] = figures["p50_ms"] / lookup["p50_ms"]
        figures["ratio_p99"] = figures["p99_ms"] / lookup["p50_ms"]
    return found


def orphan_searches(snapshot: Snapshot) -> dict[str, float]:
    """Milliseconds of a search for open intents: of everything, the first of a process, and one a minute later."""

    def taken(act: Callable[[], object]) -> float:
        started = time.perf_counter()
        act()
        return (time.perf_counter() - started) * 1000

    known = OpenIntents()
    return {
        "everything_ms": taken(lambda: list(find_orphans(snapshot, before=END - timedelta(days=1)))),
        "first_ms": taken(lambda: known.orphans(snapshot, before=END - timedelta(days=1))),
        "next_ms": taken(lambda: known.orphans(snapshot, before=END - timedelta(days=1))),
    }


def answers(snapshot: Snapshot) -> dict[str, Any]:
    """Seconds for each regulator's question over the last 30 days."""
    found = {}
    for question in Question:
        started = time.perf_counter()
        terms = {"raw_term": timedelta(days=14), "review_term": timedelta(days=7)}
        answer = ask(snapshot, question, since=END - MONTH, now=END, **terms)
        seconds = time.perf_counter() - started
        found[question.value] = {
            "seconds": seconds,
            "rows": len(answer.rows),
            "findings": len(answer.findings),
        }
    return found


@contextmanager
def database(folder: Path, *, postgresql: bool) -> Iterator[str]:
    """URL of an empty database."""
    if not postgresql:
        yield f"sqlite:///{folder / 'ledger.db'}"
        return
    os.environ["XDG_RUNTIME_DIR"] = str(folder)
    import pgserver  # noqa: PLC0415 (reads XDG_RUNTIME_DIR when it is imported)

    with pgserver.get_server(folder / "postgresql", cleanup_mode="stop") as server:
        yield str(server.get_uri()).replace("postgresql://", "postgresql+psycopg://", 1)


def run(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    with database(folder, postgresql=options.postgresql) as url:
        engine = create_engine(url)
        started = time.perf_counter()

        def progress(at: int) -> None:
            print(f"{at} entries, {at / (time.perf_counter() - started):.0f}/s", file=sys.stderr)

        fleet = build(engine, options.entries, progress)
        built = time.perf_counter() - started
        signer = CheckpointSigner(os.urandom(32), "fleetgate.benchmark/ledger")
        ledger = Ledger(engine, signer=signer, sealer=NoDetail())
        try:
            with ledger.snapshot() as snapshot:
                figures = measure(ledger, snapshot, fleet, options.samples)
                index = options.entries // 2
                proof = snapshot.inclusion_proof(index)
                leaf = merkle.leaf_hash(snapshot.entry(index).leaf)
                merkle.verify_inclusion(leaf, index, snapshot.size, proof, snapshot.head.frontier.root())
                questions = answers(snapshot)
                orphans = orphan_searches(snapshot)
        finally:
            ledger.close()
    return {
        "entries": options.entries,
        "database": "postgresql" if options.postgresql else "sqlite",
        "build_s": built,
        "figures": figures,
        "questions": questions,
        "orphans": orphans,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--entries", type=int, default=10_000_000)
    parser.add_argument("--postgresql", action="store_true", help="on a PostgreSQL that pgserver starts")
    parser.add_argument("--samples", type=int, default=200, help="queries of each kind")
    parser.add_argument("--folder", type=Path, default=None, help="a folder on the disk to use")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        found = run(Path(folder), options)
    if options.json:
        print(json.dumps(found))
        return
    print(f"{found['entries']} entries on {found['database']}, built in {found['build_s']:.0f} s\n")
    print(f"{'':32} {'p50 ms':>9} {'p99 ms':>9} {'p50 ratio':>9} {'p99 ratio':>9}")
    for name, row in found["figures"].items():
        shown = (row[each] for each in ("p50_ms", "p99_ms", "ratio_p50", "ratio_p99"))
        print(f"{name:32} {' '.join(f'{value:9.2f}' for value in shown)}")
    for name, row in found["questions"].items():
        print(f"ask {name:28} {row['seconds']:7.1f} s, {row['rows']} rows, {row['findings']} findings")
    for name, value in found["orphans"].items():
        print(f"open intents, {name:18} {value:9.2f}")


if __name__ == "__main__":
    main()
