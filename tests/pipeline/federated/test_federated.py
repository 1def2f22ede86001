"""Two sites with a gate each train one model through Flower: data stays, each update that leaves is on record."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn

from gateway.flow.gate import Gate
from gateway.flow.lineage import release_lineage
from gateway.flow.release import revoke_release
from gateway.server import create_app
from pipeline.client import GatewayClient
from pipeline.errors import RefusedError
from pipeline.federated.coordinator import Round, coordinate
from pipeline.federated.errors import FlowerError
from pipeline.federated.flower_peer import Arrays, pack
from pipeline.federated.record import SiteRecord
from pipeline.federated.site import Site, take_part
from pipeline.training.training_manifest import TrainingManifest, freeze
from simulators import PURPOSE, House, released

pytestmark = pytest.mark.alone

ROUNDS = 3
CLIP = 2.0
RATE = 0.5

needs_flower = pytest.mark.skipif(
    "FLEETGATE_FLOWER_PYTHON" not in os.environ,
    reason="FLEETGATE_FLOWER_PYTHON names no interpreter with Flower beside it",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    gate: Gate
    house: House
    release: str
    client: GatewayClient
    manifest: TrainingManifest


@contextmanager
def zone(home: Path, notes: list[str]) -> Iterator[Zone]:
    house = House(home=home)
    with house.opened() as gate, socket.socket() as listener:
        house.furnish(gate)
        made = released(gate, house, {f"{n}.txt": text.encode() for n, text in enumerate(notes)})
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(create_app(gate), log_level="critical", access_log=False)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.02)
        key = house.people["engineer"].key
        with GatewayClient(
            f"http://127.0.0.1:{listener.getsockname()[1]}",
            key=key,
            principal="engineer",
            purpose=PURPOSE,
            release_key=gate.keystore.signing_key("release").as_dict(private=False),
        ) as client:
            manifest = freeze("notes", client, [made], key=key, now=datetime.now(tz=UTC))
            yield Zone(gate=gate, house=house, release=made, client=client, manifest=manifest)
        server.should_exit = True
        thread.join(30)


@pytest.fixture
def zones(tmp_path: Path) -> Iterator[tuple[Zone, Zone]]:
    with ExitStack() as stack:
        first = stack.enter_context(zone(tmp_path / "a", ["城市道路。\n", "隧道。\n"]))
        yield first, stack.enter_context(zone(tmp_path / "b", ["高速公路，雨天。\n"]))


def training(place: Zone) -> Any:
    """A step of least squares towards the mean length of the site's own notes."""

    def train(weights: Arrays, _round: int) -> tuple[Arrays, int]:
        texts = [place.client.read(place.release, s.name) for s in place.manifest.samples]
        wanted = float(np.mean([len(text) for text in texts]))
        return [weights[0] - np.float32(RATE) * (weights[0] - np.float32(wanted))], len(texts)

    return train


def site_of(place: Zone, name: str, folder: Path) -> Site:
    return Site(
        name=name,
        client=place.client,
        manifest=place.manifest,
        train=training(place),
        clip=CLIP,
        record=folder / f"{name}.jsonl",
        code="git:abc",
    )


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Federation:
    """Server and sites, each in a thread, as they would be on machines of their own."""

    def __init__(self, sites: list[Site], start: Arrays) -> None:
        python, address = Path(os.environ["FLEETGATE_FLOWER_PYTHON"]), f"127.0.0.1:{free_port()}"
        self.rounds: list[Round] = []
        self.errors: dict[str, Exception] = {}
        self.left: dict[str, int] = {}

        def serve() -> None:
            for each in coordinate(
                start, flower_python=python, address=address, rounds=ROUNDS, sites=len(sites), wait_s=200
            ):
                self.rounds.append(each)

        def attend(site: Site) -> None:
            self.left[site.name] = take_part(site, flower_python=python, server=address, wait_s=200)

        work = {"server": serve, **{site.name: lambda site=site: attend(site) for site in sites}}
        threads = [threading.Thread(target=self._run, args=(name, do)) for name, do in work.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(250)
            assert not thread.is_alive()

    def _run(self, name: str, do: Any) -> None:
        try:
            do()
        except Exception as error:  # noqa: BLE001 - looked at by the test
            self.errors[name] = error


def expected(places: tuple[Zone, Zone], start: Arrays) -> list[float]:
    """The same by hand, without Flower."""
    weight, found = start[0].copy(), []
    for _ in range(ROUNDS):
        changes, counts = [], []
        for place in places:
            after, count = training(place)([weight], 0)
            change = after[0] - weight
            norm = float(np.sqrt((change.astype(float) ** 2).sum()))
            changes.append(change * min(1.0, CLIP / norm))
            counts.append(count)
        mean = sum(c * n / sum(counts) for c, n in zip(changes, counts, strict=True))
        weight = (weight + mean).astype(np.float32)
        found.append(float(weight[0]))
    return found


@needs_flower
@pytest.mark.timeout(400)
def test_two_sites_train_one_model_and_account_for_every_update(zones: tuple[Zone, Zone], tmp_path: Path):
    start = [np.zeros(2, np.float32)]
    sites = [site_of(place, name, tmp_path) for place, name in zip(zones, ("north", "south"), strict=True)]

    run = Federation(sites, start)

    assert run.errors == {}
    assert run.left == {"north": ROUNDS, "south": ROUNDS}
    assert [r.samples for r in run.rounds] == [3] * ROUNDS
    np.testing.assert_allclose([r.weights[0][0] for r in run.rounds], expected(zones, start), rtol=1e-5)
    for place, site in zip(zones, sites, strict=True):
        entries = SiteRecord(site.record).entries()
        assert [entry["round"] for entry in entries] == [1, 2, 3]
        assert all(entry["norm"] > CLIP and entry["clipped"] for entry in entries[:1])
        assert all(0 < entry["bytes_in"] < 2000 and 0 < entry["bytes_out"] < 2000 for entry in entries)
        assert entries[0]["base"] == sha256(pack({}, start)).hexdigest()
        auditor = place.house.people["auditor"].actor
        listed = release_lineage(place.gate, place.release, actor=auditor)["artefacts"]
        known = {each["artefact"]: each for each in listed}
        for entry in entries:
            assert known[entry["artefact"]]["generated_by"]["parameters"]["round"] == entry["round"]


@needs_flower
@pytest.mark.timeout(400)
def test_a_site_whose_release_is_revoked_gives_nothing_and_the_run_stops(
    zones: tuple[Zone, Zone], tmp_path: Path
):
    sites = [site_of(place, name, tmp_path) for place, name in zip(zones, ("north", "south"), strict=True)]
    south = zones[1]
    revoke_release(south.gate, south.release, actor=south.house.people["officer"].actor)

    run = Federation(sites, [np.zeros(2, np.float32)])

    assert isinstance(run.errors["south"], RefusedError)
    assert isinstance(run.errors["server"], FlowerError)
    assert run.rounds == []
    assert not sites[1].record.exists()


def test_a_round_without_flower_is_the_same_round(zones: tuple[Zone, Zone], tmp_path: Path):
    """What ``answer`` gives is what leaves; where the record cannot be written nothing does."""
    site = site_of(zones[0], "north", tmp_path)
    frame = site.answer(1, [np.zeros(2, np.float32)], 100)
    (entry,) = SiteRecord(site.record).entries()
    assert entry["update"] == sha256(frame).hexdigest()
    assert entry["bytes_out"] == len(frame)


def test_flower_that_is_not_there_is_told(tmp_path: Path):
    import sys  # noqa: PLC0415

    for python, told in (
        (tmp_path / "none", "No such file"),
        (Path(sys.executable), "an environment of its own"),
    ):
        with pytest.raises(FlowerError, match=told):
            next(coordinate([], flower_python=python, address="127.0.0.1:1", rounds=1, sites=1))
    with pytest.raises(ValueError, match="expected a loopback address"):
        next(coordinate([], flower_python=tmp_path, address="0.0.0.0:1", rounds=1, sites=1))
