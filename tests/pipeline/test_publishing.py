"""Derived files on the real gate: in place once registered, else kept sealed; refused after a revocation."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from typer.testing import CliRunner

from gateway.cli import app
from gateway.flow.gate import Gate
from gateway.flow.lineage import release_lineage
from gateway.flow.release import revoke_release
from gateway.server import create_app
from pipeline.artefacts import ArtefactKind, DerivedArtefact
from pipeline.client import GatewayClient
from pipeline.errors import (
    PublishingError,
    RefusedError,
    RevokedArtefactError,
    UnreachableError,
    UnregisteredError,
)
from pipeline.publishing import publish, publish_held, registered_as, require_standing
from simulators import PURPOSE, House, released

CONTENT = "行人 pedestrian, 42 boxes".encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    gate: Gate
    house: House
    url: str

    def client(self, person: str = "engineer", url: str | None = None) -> GatewayClient:
        return GatewayClient(
            url or self.url,
            key=self.house.people[person].key,
            principal=person,
            purpose=PURPOSE,
            release_key=self.gate.keystore.signing_key("release").as_dict(private=False),
        )

    def listed(self, release: str) -> dict[str, Any]:
        auditor = self.house.people["auditor"].actor
        return {
            each["artefact"]: each for each in release_lineage(self.gate, release, actor=auditor)["artefacts"]
        }


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    house = House(home=tmp_path_factory.mktemp("publishing") / "home")
    with house.opened() as gate, socket.socket() as listener:
        house.furnish(gate)
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(create_app(gate), log_level="critical", access_log=False)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.02)
        yield Served(gate=gate, house=house, url=f"http://127.0.0.1:{listener.getsockname()[1]}")
        server.should_exit = True
        thread.join(30)


@pytest.fixture
def release(served: Served) -> str:
    return released(
        served.gate, served.house, {"notes.txt": f"第{served.gate.ledger.size}次采集。\n".encode()}
    )


def labels_of(release: str, *parents: str) -> DerivedArtefact:
    return DerivedArtefact(
        kind=ArtefactKind.LABEL_SET,
        name="labels",
        sha256="",
        code="git:abc",
        releases=(release,),
        artefacts=parents,
    )


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_file_is_in_place_once_the_gate_knows_it(served: Served, release: str, tmp_path: Path):
    path = tmp_path / "labels.json"
    with served.client() as client:
        first = publish(path, CONTENT, labels_of(release), client)
        assert path.read_bytes() == CONTENT
        assert files(tmp_path) == {"labels.json", "labels.json.artefact.json"}
        assert require_standing(path, client) == registered_as(path) == first
        second = publish(path, CONTENT + b"!", labels_of(release, first), client)
        assert set(json.loads((tmp_path / "labels.json.artefact.json").read_text()).values()) == {
            first,
            second,
        }
        assert {first, second} <= served.listed(release).keys()
        path.write_bytes(b"another file")
        with pytest.raises(UnregisteredError, match="not registered"):
            require_standing(path, client)
        with pytest.raises(UnregisteredError):
            registered_as(tmp_path / "labels.json.artefact.json")


def test_a_file_that_is_not_registered_is_kept_sealed_and_published_later(
    served: Served, release: str, tmp_path: Path
):
    path = tmp_path / "labels.json"
    with served.client(url="http://127.0.0.1:9") as dead, pytest.raises(UnregisteredError) as told:
        publish(path, CONTENT, labels_of(release), dead)
    assert isinstance(told.value.__cause__, UnreachableError)
    (held,) = tmp_path.iterdir()
    assert held.name.startswith("labels.json.")
    assert held.suffix == ".unregistered"
    assert CONTENT not in held.read_bytes()
    assert str(held) in str(told.value)
    with served.client("stranger") as other, pytest.raises(PublishingError):
        publish_held(held, other)
    with served.client() as client:
        with served.client(url="http://127.0.0.1:9") as dead, pytest.raises(UnreachableError):
            publish_held(held, dead)
        kept = held.read_bytes()
        done, artefact = publish_held(held, client)
        assert (done, done.read_bytes()) == (path, CONTENT)
        assert files(tmp_path) == {"labels.json", "labels.json.artefact.json"}
        held.write_bytes(kept)  # it died before the last step
        assert publish_held(held, client) == (path, artefact)
        assert list(served.listed(release)) == [artefact]
        held.write_bytes(kept[:-1])
        with pytest.raises(PublishingError, match="does not open"):
            publish_held(held, client)
        held.write_bytes(kept)
        path.write_bytes(b"made since")
        with pytest.raises(PublishingError, match="other content"):
            publish_held(held, client)
        assert path.read_bytes() == b"made since"


def test_an_interruption_keeps_the_work(
    served: Served, release: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def interrupted(*_: object) -> str:
        raise KeyboardInterrupt

    with served.client() as client:
        with monkeypatch.context() as patch:
            patch.setattr(GatewayClient, "register_statement", interrupted)
            with pytest.raises(KeyboardInterrupt):
                publish(tmp_path / "labels.json", CONTENT, labels_of(release), client)
        (held,) = tmp_path.iterdir()
        assert publish_held(held, client)[0].read_bytes() == CONTENT


def test_what_rests_on_a_revoked_release_is_neither_published_nor_used(
    served: Served, release: str, tmp_path: Path
):
    path, later = tmp_path / "labels.json", tmp_path / "model.pt"
    with served.client() as client:
        artefact = publish(path, CONTENT, labels_of(release), client)
        revoke_release(served.gate, release, actor=served.house.people["first"].actor)
        assert served.listed(release)[artefact]["revoked"]
        with pytest.raises(RevokedArtefactError, match=release):
            require_standing(path, client)
        with pytest.raises(UnregisteredError) as told:
            publish(later, CONTENT, labels_of(release, artefact), client)
        assert isinstance(told.value.__cause__, RefusedError)
        assert not later.exists()
        assert path.read_bytes() == CONTENT


def test_the_commands_publish_and_tell_the_standing(served: Served, release: str, tmp_path: Path):
    path, key, public = tmp_path / "labels.json", tmp_path / "key.pem", tmp_path / "release.jwk"
    key.write_bytes(served.house.people["engineer"].key.as_pem(private=True))
    public.write_text(json.dumps(served.gate.keystore.signing_key("release").as_dict(private=False)))

    def told(command: str, file: Path, url: str = served.url) -> tuple[int, Any]:
        done = CliRunner().invoke(
            app,
            [
                "artefact", command, str(file), "--url", url, "--key", str(key), "--principal", "engineer",
                "--purpose", PURPOSE, "--release-key", str(public), "--json",
            ],
        )  # fmt: skip
        return done.exit_code, json.loads(done.stdout)

    with served.client(url="http://127.0.0.1:9") as dead, pytest.raises(UnregisteredError):
        publish(path, CONTENT, labels_of(release), dead)
    (held,) = tmp_path.glob("*.unregistered")
    status, answer = told("publish", held, "http://127.0.0.1:9")
    assert (status, answer["reason"]) == (1, "unreachable")
    status, published = told("publish", held)
    assert (status, published["file"]) == (0, str(path))
    assert told("standing", path) == (0, published)
    revoke_release(served.gate, release, actor=served.house.people["first"].actor)
    status, answer = told("standing", path)
    assert (status, answer["reason"]) == (1, "artefact_revoked")
    assert release in answer["detail"]
    assert httpx.get(f"{served.url}/healthz").json()["status"] == "ok"
