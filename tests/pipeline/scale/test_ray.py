"""Batch work on Ray Data: killed actors, a lost node, too few processors; no content passes through Ray."""

import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from batch_functions import Digest
from pipeline.scale.batch import run_batch
from pipeline.scale.errors import TooFewCpusError
from pipeline.scale.job import Job
from pipeline.scale.ray_data import RayData
from training_releases import CONTENTS, COUNTS

if find_spec("ray") is None:
    pytest.skip("the extra scale is not installed", allow_module_level=True)

NAMES = sorted(CONTENTS["rel-a"])
TOTAL = COUNTS["rel-a"]

Make = Callable[..., Job]
Check = Callable[[Job], dict[str, bytes]]

pytestmark = [
    # Ray leaves sockets and files to the collector and deprecates members of its own.
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.timeout(600),
    pytest.mark.usefixtures("ray_environment"),
]


def test_killed_actors_lose_nothing_and_content_stays_out_of_ray(
    job: Make, check: Check, ran: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    made = job(deadly=(NAMES[3],))
    kept = tmp_path / "ray-files"
    monkeypatch.setattr("shutil.rmtree", lambda path, **_: Path(path).rename(kept))

    done = run_batch(made, RayData(workers=1, cpus=2, stall_s=240))

    monkeypatch.undo()
    assert (done.total, done.kept) == (TOTAL, 0)
    assert ran().count(NAMES[3]) >= 2
    expected = check(made)
    files = [path for path in kept.rglob("*") if path.is_file()]
    assert files
    on_disk = b"".join(path.read_bytes() for path in files)
    key = (made.connecting.key.read_bytes(), b"correct horse")
    for secret in (*key, *CONTENTS["rel-a"].values(), *expected.values()):
        assert secret not in on_disk


def test_more_actors_than_processors_are_refused_before_they_wait_for_ever(job: Make):
    with pytest.raises(TooFewCpusError, match=r"workers \(got 3, expected at most 2\)"):
        run_batch(job(), RayData(workers=3, cpus=2))


@pytest.fixture
def cluster(ray_environment: None) -> Iterator[Any]:  # noqa: ARG001 - before Ray is loaded
    """Two nodes on this machine."""
    from ray.cluster_utils import Cluster  # noqa: PLC0415

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 2, "include_dashboard": False, "object_store_memory": 80 * 2**20},
        )
        made.second = made.add_node(num_cpus=2, object_store_memory=80 * 2**20)
        yield made
        made.shutdown()


def test_a_node_that_is_lost_takes_nothing_with_it(job: Make, check: Check, cluster: Any, tmp_path: Path):
    made = job(Digest(notes=tmp_path / "notes", pause_s=0.3))
    lost = []

    def lose(done: int, _of: int) -> None:
        if done >= 5 and not lost:
            lost.append(done)
            cluster.remove_node(cluster.second, allow_graceful=False)

    done = run_batch(made, RayData(workers=3, address=cluster.address, stall_s=240), progress=lose)

    assert lost
    assert done.total == TOTAL
    check(made)
