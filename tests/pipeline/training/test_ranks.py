"""Training by several ranks under torchrun: who sees what, in which order, and how it goes on."""

import json
import os
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.training.access import Access
from pipeline.training.dataset import GatewayDataset
from pipeline.training.detector_data import EpochOrder
from pipeline.training.errors import StateError
from pipeline.training.order import ShardPlace
from pipeline.training.sealed_pictures import SealedPictures
from pipeline.training.shard_file import StoredSample
from pipeline.training.training_manifest import TrainingManifest
from rank_processes import torchrun
from training_releases import COUNTS

PATIENCE_S = 280
TOTAL = sum(COUNTS.values())
SCRIPT = """
import json, sys
from datetime import UTC, datetime
from pathlib import Path

import torch.distributed as dist

from pipeline.training.access import Access
from pipeline.training.dataset import GatewayDataset
from pipeline.training.loader import GatewayLoader
from pipeline.training.training_manifest import read_training_manifest

folder = Path(sys.argv[1])
access = Access(**json.loads((folder / "access.json").read_text()))
manifest = read_training_manifest((folder / "m.jws").read_text(), access.key, now=datetime.now(tz=UTC))
dist.init_process_group("gloo")


def new():
    data = GatewayDataset(folder / "shards", manifest, access, decode=lambda sample: sample.name, seed=3)
    return GatewayLoader(data, batch_size=4, workers=1, collate=list, start_method="fork")


loader, seen, state = new(), [], None
for epoch in range(2):
    loader.set_epoch(epoch)
    seen.append([])
    for number, batch in enumerate(loader):
        seen[-1] += batch
        if epoch == 1 and number == 1:
            state, taken = loader.state_dict(), len(seen[-1])
again = new()
again.load_state_dict(state)
rest = [name for batch in again for name in batch]
told = [None] * dist.get_world_size()
dist.all_gather_object(told, {"seen": seen, "state": state, "resumed": seen[1][:taken] + rest})
if dist.get_rank() == 0:
    (folder / "told.json").write_text(json.dumps(told))
dist.destroy_process_group()
"""


@pytest.fixture
def surroundings(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "tmp").mkdir()
    root = str(Path(__file__).parents[3])
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]),
        "TMPDIR": str(tmp_path / "tmp"),
        "OMP_NUM_THREADS": "1",
    }


def name_of(sample: StoredSample) -> str:
    return sample.name


def test_two_ranks_see_every_sample_once_in_an_order_of_the_seed_and_go_on_where_they_were(
    tmp_path: Path,
    manifest: TrainingManifest,
    access: Access,
    write: Callable[..., Any],
    surroundings: dict[str, str],
):
    write()
    fields = ("url", "principal", "purpose", "private_jwk", "release_jwk")
    (tmp_path / "access.json").write_text(json.dumps({name: getattr(access, name) for name in fields}))
    (tmp_path / "m.jws").write_text(manifest.statement)
    (tmp_path / "ranks.py").write_text(SCRIPT)

    done = subprocess.run(  # noqa: S603 (this interpreter on the script above)
        torchrun(str(tmp_path / "ranks.py"), str(tmp_path)),
        env=surroundings,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )

    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "told.json").read_text())
    for epoch in range(2):
        names = Counter(name for rank in told for name in rank["seen"][epoch])
        assert names == Counter(sample.name for sample in manifest.samples)
        assert [len(rank["seen"][epoch]) for rank in told] == [TOTAL // 2, TOTAL // 2]
    assert told[0]["seen"][0] != told[0]["seen"][1]
    for number, rank in enumerate(told):
        assert rank["resumed"] == rank["seen"][1]
        data = GatewayDataset(
            tmp_path / "shards", manifest, access, decode=name_of, seed=3, rank=number, world=2
        )
        assert list(data) == rank["seen"][0]
    alone = GatewayDataset(tmp_path / "shards", manifest, access, decode=name_of, seed=3, rank=0, world=1)
    with pytest.raises(StateError, match=r"world of the state \(got 2, expected 1\)"):
        alone.load_state_dict(told[0]["state"])


class Places:
    """As much of sealed pictures as an order asks for."""

    places = (
        ShardPlace(release="a", number=0, samples=7),
        ShardPlace(release="a", number=1, samples=5),
        ShardPlace(release="b", number=0, samples=9),
    )

    def __len__(self) -> int:
        return 21


@pytest.mark.parametrize("world", [1, 2, 3, 4])
def test_an_epoch_of_a_detector_takes_each_chosen_picture_at_most_once_and_repeats_none(world: int):
    chosen = [n for n in range(21) if n % 4]
    pictures: SealedPictures = Places()  # type: ignore[assignment]
    epochs = []
    for epoch in range(3):
        orders = [EpochOrder(pictures, chosen, seed=5, rank=rank, world=world) for rank in range(world)]
        for order in orders:
            order.set_epoch(epoch)
        taken = [list(order) for order in orders]
        assert {len(each) for each in taken} == {len(chosen) // world} == {len(order) for order in orders}
        flat = [position for each in taken for position in each]
        assert len(set(flat)) == len(flat) == len(chosen) - len(chosen) % world
        assert set(flat) <= set(range(len(chosen)))
        assert taken == [list(order) for order in orders]
        epochs.append(flat)
    assert epochs[0] != epochs[1]
