"""Ray Train over a real gate: samples split over two workers, one checkpoint that carries its lineage."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from gateway.flow.lineage import release_lineage
from gateway.server import create_app
from pipeline.mining.run import Connecting
from pipeline.scale.job import connection
from pipeline.training.by_ray import RayTraining, train_by_ray
from pipeline.training.checkpoint import load_checkpoint
from pipeline.training.errors import RayTrainingError
from pipeline.training.shards import ShardFolder, write_shards
from pipeline.training.training_manifest import freeze
from ray_training import lengths, refused
from simulators import PURPOSE, House, released

if find_spec("ray") is None:
    pytest.skip("the extra scale is not installed", allow_module_level=True)

pytestmark = [
    # Ray leaves sockets and files to the collector and deprecates members of its own.
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.timeout(900),
    pytest.mark.usefixtures("ray_environment"),
]
NOTES = {f"{n}.txt": f"第{n}次采集，城市道路{'，雨' * n}。\n".encode() for n in range(4)}


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, House, str, Connecting]]:
    tmp_path = tmp_path_factory.mktemp("ray-train")
    house = House(home=tmp_path / "home")
    with house.opened() as gate, socket.socket() as listener:
        house.furnish(gate)
        release = released(gate, house, NOTES)
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(create_app(gate), log_level="critical", access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.02)
        (tmp_path / "key.pem").write_bytes(house.people["engineer"].key.as_pem(private=True))
        public = gate.keystore.signing_key("release").as_dict(private=False)
        (tmp_path / "release.jwk").write_text(json.dumps(public))
        yield (
            gate,
            house,
            release,
            Connecting(
                url=f"http://127.0.0.1:{listener.getsockname()[1]}",
                key=tmp_path / "key.pem",
                principal="engineer",
                purpose=PURPOSE,
                release_key=tmp_path / "release.jwk",
                passphrase_file=None,
            ),
        )
        server.should_exit = True
        thread.join(30)


def test_two_workers_share_the_samples_and_leave_one_checkpoint(gate: Any, tmp_path: Path):
    opened, house, release, connecting = gate
    client, key = connection(connecting)
    notes = tmp_path / "notes"
    notes.mkdir()
    with client:
        manifest = freeze("notes", client, [release], key=key, now=datetime.now(tz=UTC))
        write_shards(client, ShardFolder(tmp_path / "shards", manifest, key))
        training = RayTraining(
            train=lengths,
            connecting=connecting,
            manifest=manifest.statement,
            shards=tmp_path / "shards",
            checkpoint=tmp_path / "model.pt",
            code="git:abc",
            parameters={"notes": str(notes)},
            workers=2,
        )

        artefact = train_by_ray(training, cpus=3)

        found = load_checkpoint(tmp_path / "model.pt", client)
        assert found.artefact == artefact
        assert found.state["epochs"] == 2
        assert found.lineage.releases == (release,)
        assert found.lineage.parameters["workers"] == 2
        seen = [(notes / f"rank-{rank}-of-2").read_text().splitlines() for rank in range(2)]
        for epoch in "01":
            ranks = [{line.split()[1] for line in lines if line[0] == epoch} for lines in seen]
            assert ranks[0].isdisjoint(ranks[1])
            assert ranks[0] | ranks[1] == {sample.name for sample in manifest.samples}
        listed = release_lineage(opened, release, actor=house.people["auditor"].actor)["artefacts"]
        assert artefact in {each["artefact"] for each in listed}


def test_a_worker_that_the_gate_refuses_ends_the_training(gate: Any, tmp_path: Path):
    _, _, release, connecting = gate
    client, key = connection(connecting)
    with client:
        manifest = freeze("notes", client, [release], key=key, now=datetime.now(tz=UTC))
    training = RayTraining(
        train=refused,
        connecting=connecting,
        manifest=manifest.statement,
        shards=tmp_path / "shards",
        checkpoint=tmp_path / "model.pt",
        code="git:abc",
        parameters={},
        workers=1,
    )
    with pytest.raises(RayTrainingError, match="worker 0: no_grant: 403"):
        train_by_ray(training, cpus=2)
    assert not (tmp_path / "model.pt").exists()
