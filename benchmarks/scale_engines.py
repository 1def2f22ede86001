"""The looks of pictures by the process pool and by Ray Data, undisturbed and with a worker or a node killed.

    python benchmarks/scale_engines.py [--pictures 60] [--workers 2] [--json]

The gate is ``fleetgate serve`` in a process of its own over a house that the tests' simulators furnish; it
releases drawn street scenes. Every run measures all of them anew, through a grant, into sealed outputs, and is
held against the sequential run byte by byte: each output there, once, with one line in the ledger. ``killed`` ends
one worker of the pool, or one of the two nodes of a local cluster, by SIGKILL when a third of outputs is there.
``first_s`` is the time to the first output: starting processes and loading libraries.
"""

import argparse
import io
import json
import multiprocessing
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from release_download import free_port, running

from gateway.vault.root import DEFAULT_ARGON2
from mining_drives import scene
from pipeline.mining.run import Connecting
from pipeline.scale.batch import Engine, run_batch
from pipeline.scale.functions import Looks
from pipeline.scale.job import Failure, Job, Receipt, connection
from pipeline.scale.outputs import LEDGER_FILE, OutputFolder
from pipeline.scale.pool import ProcessPool
from pipeline.scale.ray_data import RayData
from pipeline.scale.worker import Worker
from simulators import PASSPHRASE, PURPOSE, START, House, csv_track, released


class OneByOne:
    """Every item in this process."""

    def run(self, job: Job, places: Sequence[int]) -> Iterator[Receipt | Failure]:
        worker = Worker(job)
        for place in places:
            yield worker.do(place)
        worker.close()


@contextmanager
def gate(folder: Path, pictures: int) -> Iterator[tuple[Connecting, str]]:
    """A gate with a release of drawn scenes; yields how to ask it, and the release."""
    files = {}
    for n in range(pictures):
        out = io.BytesIO()
        scene(n).save(out, "JPEG", quality=92)
        files[f"cam/{n:05}.jpg"] = out.getvalue()
    house = House(home=folder / "home", argon2=DEFAULT_ARGON2)
    with house.opened() as opened:
        house.furnish(opened)
        captured = {name: START + timedelta(seconds=20 + 20 * n / pictures) for n, name in enumerate(files)}
        release = released(opened, house, {"drive.csv": csv_track(), **files}, captured=captured)
        public = opened.keystore.signing_key("release").as_dict(private=False)
    (folder / "key.pem").write_bytes(house.people["engineer"].key.as_pem(private=True))
    (folder / "release.jwk").write_text(json.dumps(public))
    port = free_port()
    environment = {**os.environ, "FLEETGATE_HOME": str(house.home), "FLEETGATE_PASSPHRASE": PASSPHRASE}
    with running([sys.executable, "-m", "gateway.cli", "serve", "--port", str(port)], port, environment):
        yield (
            Connecting(
                url=f"http://127.0.0.1:{port}",
                key=folder / "key.pem",
                principal="engineer",
                purpose=PURPOSE,
                release_key=folder / "release.jwk",
                passphrase_file=None,
            ),
            release,
        )


def timed(job: Job, engine: Engine, at: Callable[[int, int], None] = lambda *_: None) -> dict[str, Any]:
    """Run a job from nothing; how long it took, and its outputs by name."""
    began, first = time.perf_counter(), []

    def progress(done: int, of: int) -> None:
        if done and not first:
            first.append(time.perf_counter() - began)
        at(done, of)

    finished = run_batch(job, engine, progress=progress)
    total_s = time.perf_counter() - began
    client, key = connection(job.connecting)
    with client:
        outputs = OutputFolder(client, job.release, job.outputs, key=key)
        names = {job.function.output(i) for i in client.manifest(job.release).items if job.function.takes(i)}
        found = {name: outputs.get(name) for name in names}
        lines = (outputs.folder / LEDGER_FILE).read_bytes().splitlines()
    assert len(lines) == len(names) == finished.total, (len(lines), finished)
    return {
        "seconds": total_s,
        "first_s": first[0],
        "per_s": (len(names) - 1) / (total_s - first[0]),
        "again": finished.again,
        "found": found,
    }


def run(options: argparse.Namespace) -> dict[str, Any]:
    # One token for the cluster that the engine starts and for that of two nodes: Ray keeps the first that it sees.
    os.environ |= {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
    }
    with tempfile.TemporaryDirectory() as name, gate(Path(name), options.pictures) as (connecting, release):

        def job(run_name: str) -> Job:
            outputs = Path(name) / run_name
            return Job(connecting=connecting, release=release, outputs=outputs, cache=None, function=Looks())

        pool, lost = ProcessPool(workers=options.workers), list[str]()

        def kill_worker(done: int, of: int) -> None:
            if done * 3 >= of and not lost:
                lost.append("worker")
                multiprocessing.active_children()[0].kill()

        runs = {
            "one_by_one": timed(job("one"), OneByOne()),
            "pool": timed(job("pool"), pool),
            "pool_killed": timed(job("pool-killed"), pool, kill_worker),
            "ray": timed(job("ray"), RayData(workers=options.workers, cpus=options.workers + 1)),
        }
        assert lost == ["worker"]
        runs["ray_killed"] = with_a_node_killed(job("ray-killed"), options.workers)
    expected = runs["one_by_one"]["found"]
    assert all(each.pop("found") == expected for each in runs.values())
    figures: dict[str, Any] = {"pictures": len(expected), "workers": options.workers, **runs}
    figures["ray_to_pool"] = runs["ray"]["seconds"] / runs["pool"]["seconds"]
    figures["ray_to_pool_after_first"] = runs["pool"]["per_s"] / runs["ray"]["per_s"]
    figures["pool_killed_to_pool"] = runs["pool_killed"]["seconds"] / runs["pool"]["seconds"]
    figures["ray_killed_to_ray"] = runs["ray_killed"]["seconds"] / runs["ray"]["seconds"]
    return figures


def with_a_node_killed(job: Job, workers: int) -> dict[str, Any]:
    """Two nodes; the one that is not the head goes when a third of the outputs is there."""
    from ray.cluster_utils import Cluster  # noqa: PLC0415 - reads the environment when it is loaded

    memory = {"object_store_memory": 96 * 2**20}
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": workers + 1, "include_dashboard": False, **memory}
    )
    second, lost = cluster.add_node(num_cpus=workers + 1, **memory), list[str]()

    def kill_node(done: int, of: int) -> None:
        if done * 3 >= of and not lost:
            lost.append("node")
            cluster.remove_node(second, allow_graceful=False)

    try:
        found = timed(job, RayData(workers=workers, address=cluster.address), kill_node)
        assert lost == ["node"]
        return found
    finally:
        cluster.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=60)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    figures = run(options := parser.parse_args())
    print(json.dumps(figures, indent=None if options.json else 1))


if __name__ == "__main__":
    main()
