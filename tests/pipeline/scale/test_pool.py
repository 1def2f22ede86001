"""Batch work on a pool: killed workers, killed runs, ended grants; every output is there exactly once."""

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batch_functions import Moody
from pipeline.errors import RefusedError
from pipeline.scale.batch import run_batch
from pipeline.scale.errors import (
    ItemFailedError,
    NotDeterministicError,
    OutputsError,
    StalledError,
    WorkerLostError,
)
from pipeline.scale.job import Failure, Job, Receipt, connection
from pipeline.scale.outputs import LEDGER_FILE, OUTPUT_SUFFIX, OutputFolder, OutputLedger
from pipeline.scale.pool import ProcessPool
from pipeline.scale.worker import Worker
from training_releases import CONTENTS, COUNTS, TwoReleases

NAMES = sorted(CONTENTS["rel-a"])
TOTAL = COUNTS["rel-a"]
POOL = ProcessPool(workers=2, stall_s=120)

Make = Callable[..., Job]
Check = Callable[[Job], dict[str, bytes]]


class InProcess:
    """Every item in this process, one after the other; ``stop_after`` breaks off as a crash does."""

    def __init__(self, stop_after: int | None = None, *, twice: bool = False) -> None:
        self.stop_after, self.twice = stop_after, twice

    def run(self, job: Job, places: Any) -> Any:
        worker = Worker(job)
        try:
            for number, place in enumerate(places):
                if number == self.stop_after:
                    worker.do(place)  # committed, and nobody is told
                    raise KeyboardInterrupt
                yield worker.do(place)
                if self.twice:
                    yield worker.do(place)
        finally:
            worker.close()


def folder_of(job: Job) -> Path:
    (folder,) = job.outputs.iterdir()
    return folder


def test_workers_that_are_killed_lose_nothing_and_repeat_nothing(job: Make, check: Check, ran: Any):
    made = job(deadly=(NAMES[3],))

    done = run_batch(made, POOL)

    assert (done.total, done.kept) == (TOTAL, 0)
    assert ran().count(NAMES[3]) >= 2
    check(made)


def test_an_item_that_kills_every_worker_is_named_and_the_rest_goes_on_later(job: Make, check: Check):
    with pytest.raises(WorkerLostError, match=r"died 3 times at items .*what was finished is kept"):
        run_batch(job(deadly=(NAMES[6],), always=True), POOL)

    done = run_batch(job(), POOL)

    assert done.kept >= 1
    check(job())


def test_a_run_that_is_killed_goes_on(job: Make, check: Check, tmp_path: Path):
    made = job(pause_s=0.15)
    script = (
        "import pickle, sys\n"
        "from pathlib import Path\n"
        "from pipeline.scale.batch import run_batch\n"
        "from pipeline.scale.pool import ProcessPool\n"
        "if __name__ == '__main__':\n"
        "    run_batch(pickle.loads(Path(sys.argv[1]).read_bytes()), ProcessPool(workers=2))\n"
    )
    (tmp_path / "run.py").write_text(script)
    (tmp_path / "job").write_bytes(pickle.dumps(made))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, tmp_path / "run.py", tmp_path / "job"]
    run = subprocess.Popen(command, env=environment)  # noqa: S603 - our own program
    until = time.monotonic() + 120
    ledger = None
    while ledger is None or ledger.read_bytes().count(b"\n") < 5:
        assert run.poll() is None
        assert time.monotonic() < until
        time.sleep(0.02)
        ledger = next(iter(made.outputs.glob(f"*/{LEDGER_FILE}")), None)
    run.send_signal(signal.SIGKILL)
    run.wait()

    done = run_batch(made, POOL)

    assert done.kept >= 5
    check(made)


def test_what_a_dead_run_left_is_taken_up_or_swept_away(job: Make, check: Check):
    made = job()
    with pytest.raises(KeyboardInterrupt):
        run_batch(made, InProcess(stop_after=6))
    folder = folder_of(made)
    (folder / "0123.partial").write_bytes(b"half")
    with (folder / LEDGER_FILE).open("ab") as file:
        file.write(b'{"line":{"bytes":1')
    outputs = sorted(folder.glob(f"*{OUTPUT_SUFFIX}"))
    outputs[0].unlink()
    outputs[1].write_bytes(outputs[1].read_bytes()[:-1])

    done = run_batch(made, InProcess())

    assert (done.kept, done.swept, done.again) == (5, 1, 0)
    assert done.adopted <= 1
    check(made)
    assert run_batch(made, InProcess()).kept == TOTAL


def test_an_item_that_runs_twice_is_entered_once(job: Make, check: Check):
    done = run_batch(job(), InProcess(twice=True))

    assert done.again == TOTAL
    check(job())


def test_a_function_that_answers_differently_is_told(job: Make, tmp_path: Path, connecting: Any):
    mood = tmp_path / "mood"
    mood.write_bytes(b"good")
    made = job(Moody(mood=mood))
    worker = Worker(made)
    client, key = connection(connecting)
    with client:
        place = next(n for n, i in enumerate(client.manifest("rel-a").items) if made.function.takes(i))
        assert isinstance(worker.do(place), Receipt)
        mood.write_bytes(b"bad")
        told = worker.do(place)
        assert isinstance(told, Failure)
        assert told.reason == NotDeterministicError.reason
        worker.close()
        outputs = OutputFolder(client, "rel-a", made.outputs, key=key)
        assert outputs.get(made.function.output(client.manifest("rel-a").items[place])) == b"good"


class RefuseAfter:
    """A gate that refuses once some items were finished."""

    def __init__(self, two: TwoReleases, after: int, refusal: tuple[int, str]) -> None:
        self.two, self.after, self.refusal = two, after, refusal

    def __call__(self, done: int, _of: int) -> None:
        if done >= self.after:
            self.two.refused["rel-a"] = self.refusal


def test_a_grant_that_ends_in_the_middle_keeps_what_is_done(job: Make, check: Check, two: TwoReleases):
    with pytest.raises(RefusedError, match=r"of 23 outputs are kept, sealed, in .*repeat once") as refused:
        run_batch(job(), POOL, progress=RefuseAfter(two, 7, (403, "denied")))
    assert refused.value.status == 403
    assert len(list(folder_of(job()).glob(f"*{OUTPUT_SUFFIX}"))) >= 7
    with pytest.raises(RefusedError):
        run_batch(job(), POOL)

    two.refused.clear()
    done = run_batch(job(), POOL)

    assert done.kept >= 7
    check(job())


def test_an_altered_ledger_is_an_error(job: Make):
    run_batch(job(), InProcess())
    ledger = folder_of(job()) / LEDGER_FILE
    lines = ledger.read_bytes().splitlines(keepends=True)
    record = json.loads(lines[4])
    record["line"]["bytes"] += 1
    ledger.write_bytes(b"".join([*lines[:4], json.dumps(record).encode() + b"\n", *lines[5:]]))

    with pytest.raises(OutputsError, match="line 5 was altered"):
        run_batch(job(), InProcess())


def test_one_run_at_a_time(job: Make, connecting: Any):
    run_batch(job(), InProcess())
    client, key = connection(connecting)
    with client, OutputLedger(OutputFolder(client, "rel-a", job().outputs, key=key)):  # noqa: SIM117
        with pytest.raises(OutputsError, match="in use by another run"):
            run_batch(job(), InProcess())


def test_silence_is_an_error(job: Make):
    with pytest.raises(StalledError, match="no item was finished for 6 s"):
        run_batch(job(pause_s=100), ProcessPool(workers=1, stall_s=6))


def test_missing_keys_of_a_worker_are_told(job: Make, connecting: Any):
    class Elsewhere(InProcess):
        """A worker on a machine that lacks the key."""

        def run(self, job: Job, places: Any) -> Any:
            connecting.key.rename(connecting.key.with_suffix(".away"))
            return super().run(job, places)

    with pytest.raises(ItemFailedError, match=r"key\.pem") as failed:
        run_batch(job(), Elsewhere())
    assert failed.value.reason == "key_unusable"


def test_no_plaintext_is_on_disk(job: Make, connecting: Any):
    run_batch(job(), InProcess())
    assert connecting.passphrase_file
    on_disk = b"".join(path.read_bytes() for path in folder_of(job()).iterdir())
    for name, content in CONTENTS["rel-a"].items():
        assert name.encode() not in on_disk
        assert content[:16].hex().encode() not in on_disk
        assert content not in on_disk
