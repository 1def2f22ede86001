"""The data set in torch: who gets what, where it goes on, and what stops it."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from pipeline.training.access import Access
from pipeline.training.dataset import GatewayDataset
from pipeline.training.errors import LeaseError, ReleaseEndedError, ShardError, StateError
from pipeline.training.loader import GatewayLoader
from pipeline.training.shard_file import StoredSample
from pipeline.training.shards import ShardFolder
from training_releases import CONTENTS, COUNTS

# Three loading processes take unequal shares; torch warns where there are fewer processors.
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")

TOTAL = sum(COUNTS.values())
NAMES = sorted(name for contents in CONTENTS.values() for name in contents)


def name_of(sample: StoredSample) -> str:
    assert CONTENTS[sample.release][sample.name] == sample.content
    return sample.name


@pytest.fixture
def dataset(
    write: Callable[..., Any], shards: ShardFolder, access: Access
) -> Callable[..., GatewayDataset[str]]:
    write()

    def make(**changes: Any) -> GatewayDataset[str]:
        return GatewayDataset(
            shards.folder, shards.manifest, access, **{"decode": name_of, "seed": 5, **changes}
        )

    return make


Make = Callable[..., GatewayDataset[str]]


def loader(dataset: GatewayDataset[str], workers: int = 0, batch_size: int = 3) -> GatewayLoader[str, Any]:
    return GatewayLoader(dataset, batch_size=batch_size, workers=workers, collate=list)


def test_an_epoch_has_every_sample_once_in_an_order_that_the_epoch_changes(dataset: Make):
    data = dataset()

    first, again = list(data), list(data)
    data.set_epoch(1)
    second = list(data)

    assert sorted(first) == sorted(second) == NAMES
    assert first == again != second
    assert first != NAMES
    assert len(data) == TOTAL
    assert list(dataset(shuffle=False)) == NAMES


@pytest.mark.parametrize("workers", [0, 3])
def test_ranks_and_workers_share_the_epoch(dataset: Make, workers: int):
    ranks = [dataset(rank=rank, world=2) for rank in range(2)]

    got = [[name for batch in loader(data, workers) for name in batch] for data in ranks]

    assert sorted(got[0] + got[1]) == NAMES
    assert [len(names) for names in got] == [len(data) for data in ranks] == [TOTAL // 2, TOTAL - TOTAL // 2]


def test_torch_s_own_loader_takes_it(dataset: Make):
    got = [name for batch in DataLoader(dataset(), batch_size=4, num_workers=2) for name in batch]

    assert sorted(got) == NAMES


@pytest.mark.parametrize("after", [0, 1, 17, TOTAL - 1, TOTAL])
def test_it_goes_on_at_the_very_next_sample(dataset: Make, after: int):
    whole = list(dataset())
    data = dataset()
    running = iter(data)
    head = [next(running) for _ in range(after)]
    if after == 0:
        with pytest.raises(StateError, match="GatewayLoader"):
            data.state_dict()
        return

    resumed = dataset()
    resumed.load_state_dict(data.state_dict())
    tail = list(resumed)

    assert head + tail == whole
    assert list(resumed) == whole  # the state served once


@pytest.mark.parametrize("after", [0, 1, 4, 7, 11])
def test_a_loop_with_loading_processes_goes_on_at_the_very_next_batch(dataset: Make, after: int):
    data = dataset()
    data.set_epoch(2)
    whole = list(loader(data, 3))
    running = loader(dataset(), 3)
    running.set_epoch(2)
    batches = iter(running)
    head = [next(batches) for _ in range(min(after, len(whole)))]
    state = running.state_dict()
    del batches

    resumed = loader(dataset(), 3)
    resumed.load_state_dict(state)
    assert resumed.state_dict() == state
    tail = list(resumed)

    assert head + tail == whole
    assert sorted(name for batch in list(resumed) for name in batch) == NAMES


def test_a_state_goes_through_json_and_torch(dataset: Make, tmp_path: Any):
    running = loader(dataset())
    batches = iter(running)
    head = [next(batches) for _ in range(4)]
    torch.save({"loader": running.state_dict()}, tmp_path / "state.pt")

    resumed = loader(dataset(), batch_size=5)
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True)["loader"])

    rest = [name for batch in resumed for name in batch]
    assert [name for batch in head for name in batch] + rest == list(dataset())


OTHERS = {
    "seed": {"seed": 6},
    "shuffle": {"shuffle": False},
    "even": {"even": True},
    "world": {"rank": 0, "world": 2},
}


@pytest.mark.parametrize("case", OTHERS)
def test_a_state_of_another_run_is_refused(dataset: Make, case: str):
    running = loader(dataset())
    next(iter(running))

    with pytest.raises(StateError, match=case):
        loader(dataset(**OTHERS[case])).load_state_dict(running.state_dict())


def test_malformed_states_and_other_counts_of_processes_are_refused(dataset: Make):
    running = loader(dataset())
    next(iter(running))
    state = running.state_dict()
    with pytest.raises(StateError, match="loading processes"):
        loader(dataset(), workers=2).load_state_dict(state)
    for spoilt in ({}, {**state, "delivered": []}, {**state, "delivered": [-1]}, {**state, "first": 3}):
        with pytest.raises(StateError, match="state"):
            loader(dataset()).load_state_dict(spoilt)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_revoked_release_stops_the_loop_and_its_shards_are_wiped(
    dataset: Make, shards: ShardFolder, two: Any, workers: int
):
    two.refused["rel-b"] = 403, "denied"

    with pytest.raises(ReleaseEndedError, match="'rel-b' may not be read any more"):
        list(loader(dataset(), workers))

    assert shards.numbers("rel-b") == ()
    assert shards.numbers("rel-a")


def test_a_release_revoked_while_it_is_read_stops_the_loop_with_work_so_far_kept(
    dataset: Make, shards: ShardFolder, two: Any
):
    whole = list(dataset())
    data = dataset(lease_s=1e-9)
    running = iter(data)
    got = [next(running) for _ in range(10)]
    two.refused |= dict.fromkeys(COUNTS, (403, "denied"))

    with pytest.raises(ReleaseEndedError):
        next(running)

    assert got == whole[:10]
    assert data.state_dict()["delivered"] == [10]
    assert min(len(shards.numbers(release)) for release in COUNTS) == 0


def test_a_busy_gate_stops_the_loop_in_a_loading_process_by_name_and_it_goes_on_later(
    dataset: Make, two: Any
):
    whole = [name for batch in loader(dataset(), 2) for name in batch]
    two.refused["rel-a"] = 503, "ledger_unavailable"
    running = loader(dataset(), 2)
    with pytest.raises(LeaseError, match="503 ledger_unavailable"):
        list(running)
    two.refused.clear()

    resumed = loader(dataset(), 2)
    resumed.load_state_dict(running.state_dict())

    assert [name for batch in resumed for name in batch] == whole


def test_a_killed_loading_process_is_told_and_the_loop_goes_on_where_it_was(dataset: Make):
    whole = list(loader(dataset(), 2))
    running = loader(dataset(), 2)
    batches = iter(running)
    head = [next(batches) for _ in range(3)]
    for process in multiprocessing.active_children():
        os.kill(process.pid or 0, signal.SIGKILL)
    with pytest.raises(RuntimeError, match="DataLoader worker"):
        head.extend(batches)  # keeps what came before the error

    resumed = loader(dataset(), 2)
    resumed.load_state_dict(running.state_dict())

    assert head + list(resumed) == whole


def test_loading_processes_that_are_spawned_get_what_they_need(dataset: Make):
    data = dataset(decode=attrgetter("name"))
    spawned = GatewayLoader(data, batch_size=8, workers=1, collate=list, start_method="spawn")

    assert [name for batch in spawned for name in batch] == list(data)


def test_the_gate_is_asked_once_a_release_while_its_answer_holds(dataset: Make, two: Any):
    data = dataset()
    two.asked.clear()

    list(data)

    assert sorted(two.asked) == sorted(COUNTS)


def test_missing_and_altered_shards_stop_it(dataset: Make, shards: ShardFolder):
    data = dataset(shuffle=False)
    path = min(shards.folder.glob("*/000001.shard"))
    content = bytearray(path.read_bytes())
    content[60] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(ShardError, match="sample 0 does not open"):
        list(data)
    path.unlink()
    with pytest.raises(ShardError, match="write the shards to the end"):
        list(data)


def test_ranks_come_from_torchrun_s_environment(dataset: Make, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "3")

    assert (dataset().rank, dataset().world) == (1, 3)
    with pytest.raises(ValueError, match="both or none"):
        dataset(rank=0)
    with pytest.raises(ValueError, match="part"):
        dataset(rank=3, world=3)
    with pytest.raises(ValueError, match="lease_s"):
        dataset(lease_s=0)


@pytest.fixture
def process_group(tmp_path: Any) -> Iterator[None]:
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("process_group")
def test_a_process_group_goes_before_the_environment(dataset: Make, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "3")

    assert (dataset().rank, dataset().world) == (0, 1)


def test_access_shows_no_private_key(access: Access):
    assert access.private_jwk["d"] not in repr(access)
