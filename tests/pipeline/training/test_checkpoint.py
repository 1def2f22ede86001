"""Checkpoints on a real gate: registered with their lineage, and refused once a release below them is revoked."""

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import torch
import uvicorn

from gateway.flow.gate import Gate
from gateway.flow.lineage import release_lineage
from gateway.flow.release import revoke_release
from gateway.server import create_app
from pipeline.client import GatewayClient
from pipeline.errors import PublishingError, UnreachableError, UnregisteredError
from pipeline.training.access import Access
from pipeline.training.checkpoint import Lineage, load_checkpoint, register_held, save_checkpoint
from pipeline.training.errors import CheckpointError, ReleaseEndedError
from pipeline.training.training_manifest import TrainingManifest, freeze
from simulators import PURPOSE, House, released

TORCH_FILE = b"PK\x03\x04"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    gate: Gate
    house: House
    releases: tuple[str, ...]
    access: Access


def notes(number: int) -> dict[str, bytes]:
    return {"notes.txt": f"第{number}次采集，城市道路。\n".encode()}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    house = House(home=tmp_path_factory.mktemp("training") / "home")
    with house.opened() as gate, socket.socket() as listener:
        house.furnish(gate)
        made = tuple(released(gate, house, notes(number)) for number in range(2))
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(create_app(gate), log_level="critical", access_log=False)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.02)
        access = Access.of(
            f"http://127.0.0.1:{listener.getsockname()[1]}",
            key=house.people["engineer"].key,
            principal="engineer",
            purpose=PURPOSE,
            release_key=gate.keystore.signing_key("release").as_dict(private=False),
        )
        yield Trained(gate=gate, house=house, releases=made, access=access)
        server.should_exit = True
        thread.join(30)


@pytest.fixture
def client(trained: Trained) -> Iterator[GatewayClient]:
    with trained.access.client() as client:
        yield client


@pytest.fixture
def manifest(trained: Trained, client: GatewayClient) -> TrainingManifest:
    return freeze("m", client, trained.releases, key=trained.access.key, now=datetime.now(tz=UTC))


def lineage_of(manifest: TrainingManifest, **changes: Any) -> Lineage:
    return Lineage.of(manifest, **{"code": "git:abc", "parameters": {"rate": 0.1, "epochs": 2}, **changes})


def test_a_checkpoint_comes_back_with_its_lineage_and_the_gate_lists_it(
    trained: Trained, client: GatewayClient, manifest: TrainingManifest, tmp_path: Path
):
    torch.manual_seed(1)
    model = torch.nn.Linear(4, 2)
    path = tmp_path / "epoch-1.pt"
    lineage = lineage_of(manifest)

    artefact = save_checkpoint(path, {"model": model.state_dict(), "epoch": 1}, lineage, client)
    found = load_checkpoint(path, client)

    assert found.artefact == artefact
    assert found.lineage == lineage
    assert torch.equal(found.state["model"]["weight"], model.weight)
    assert found.state["epoch"] == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["epoch-1.pt", "epoch-1.pt.artefact.json"]
    auditor = trained.house.people["auditor"].actor
    for release in trained.releases:
        listed = release_lineage(trained.gate, release, actor=auditor)["artefacts"]
        told = next(each for each in listed if each["artefact"] == artefact)
        assert told["generated_by"] == {
            "code": "git:abc",
            "parameters": {"rate": 0.1, "epochs": 2, "training_manifest": manifest.digest},
        }


def test_altered_files_and_what_holds_code_are_refused(
    client: GatewayClient, manifest: TrainingManifest, tmp_path: Path
):
    path = tmp_path / "m.pt"
    with pytest.raises(CheckpointError, match="Unpickling"):
        save_checkpoint(path, {"model": manifest}, lineage_of(manifest), client)
    assert list(tmp_path.iterdir()) == []
    save_checkpoint(path, {"epoch": 1}, lineage_of(manifest), client)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(CheckpointError, match="expected the registered"):
        load_checkpoint(path, client)
    path.write_bytes(content)
    beside = path.with_name("m.pt.artefact.json")
    save_checkpoint(path, {"epoch": 2}, lineage_of(manifest), client)
    assert load_checkpoint(path, client).state == {"epoch": 2}
    path.write_bytes(content)  # as a break between both files leaves it
    assert load_checkpoint(path, client).state == {"epoch": 1}
    beside.write_text("[]")
    with pytest.raises(CheckpointError, match=r"m\.pt\.artefact\.json"):
        load_checkpoint(path, client)
    beside.unlink()
    with pytest.raises(CheckpointError, match=r"m\.pt\.artefact\.json"):
        load_checkpoint(path, client)


def test_a_checkpoint_of_another_purpose_is_not_written(
    trained: Trained, manifest: TrainingManifest, tmp_path: Path
):
    with (
        replace(trained.access, purpose="map-making").client() as other,
        pytest.raises(ReleaseEndedError, match="403"),
    ):
        save_checkpoint(tmp_path / "m.pt", {"epoch": 1}, lineage_of(manifest), other)
    (held,) = tmp_path.iterdir()
    assert held.suffix == ".unregistered"
    assert TORCH_FILE not in held.read_bytes()


def test_a_checkpoint_that_the_gate_does_not_register_now_is_kept_sealed_and_taken_up_later(
    trained: Trained, client: GatewayClient, manifest: TrainingManifest, tmp_path: Path
):
    path = tmp_path / "last.pt"
    save_checkpoint(path, {"epoch": 1}, lineage_of(manifest), client)
    before = path.read_bytes()
    with replace(trained.access, url="http://127.0.0.1:9").client() as dead:
        with pytest.raises(UnregisteredError, match=r"artefact publish .*last\.pt"):
            save_checkpoint(path, {"epoch": 2}, lineage_of(manifest), dead)
        with pytest.raises(UnreachableError):
            register_held(tmp_path, dead)
    assert path.read_bytes() == before
    (held,) = tmp_path.glob("*.unregistered")
    assert TORCH_FILE not in held.read_bytes()

    register_held(tmp_path, client)

    assert load_checkpoint(path, client).state == {"epoch": 2}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["last.pt", "last.pt.artefact.json"]


def test_a_file_that_came_since_is_not_replaced_by_one_that_was_kept_sealed(
    trained: Trained, client: GatewayClient, manifest: TrainingManifest, tmp_path: Path
):
    path = tmp_path / "last.pt"
    with (
        replace(trained.access, url="http://127.0.0.1:9").client() as dead,
        pytest.raises(UnregisteredError),
    ):
        save_checkpoint(path, {"epoch": 1}, lineage_of(manifest), dead)
    save_checkpoint(path, {"epoch": 2}, lineage_of(manifest), client)
    with pytest.raises(PublishingError, match="other content"):
        register_held(tmp_path, client)
    assert load_checkpoint(path, client).state == {"epoch": 2}


def test_ranks_but_the_first_wait_until_it_registered_what_was_kept(
    trained: Trained, client: GatewayClient, manifest: TrainingManifest, tmp_path: Path
):
    with (
        replace(trained.access, url="http://127.0.0.1:9").client() as dead,
        pytest.raises(UnregisteredError),
    ):
        save_checkpoint(tmp_path / "last.pt", {"epoch": 1}, lineage_of(manifest), dead)
    second = threading.Thread(target=register_held, args=(tmp_path, client), kwargs={"rank": 1})
    second.start()
    second.join(0.5)
    assert second.is_alive()
    register_held(tmp_path, client)
    second.join(10)
    assert not second.is_alive()


def test_once_a_release_is_revoked_nothing_that_rests_on_it_is_taken_up(
    trained: Trained, client: GatewayClient, tmp_path: Path
):
    gone = released(trained.gate, trained.house, notes(7))
    now = datetime.now(tz=UTC)
    manifest = freeze("r", client, [trained.releases[0], gone], key=trained.access.key, now=now)
    first, second = tmp_path / "1.pt", tmp_path / "2.pt"
    parent = save_checkpoint(first, {"epoch": 1}, lineage_of(manifest), client)
    others = freeze("o", client, [trained.releases[0]], key=trained.access.key, now=now)
    save_checkpoint(second, {"epoch": 2}, lineage_of(others, artefacts=(parent,)), client)
    load_checkpoint(second, client)

    revoke_release(trained.gate, gone, actor=trained.house.people["first"].actor)

    for path in (first, second):  # the second has it from its parent alone
        with pytest.raises(ReleaseEndedError, match=f"{path.name} rests on revoked releases.*{gone}"):
            load_checkpoint(path, client)
    with pytest.raises(ReleaseEndedError):
        save_checkpoint(tmp_path / "3.pt", {"epoch": 3}, lineage_of(manifest), client)
    assert not (tmp_path / "3.pt").exists()
    with pytest.raises(ReleaseEndedError, match="stays sealed"):
        register_held(tmp_path, client)
    assert len(list(tmp_path.glob("3.pt.*.unregistered"))) == 1
