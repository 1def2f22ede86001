"""One story: mine, label, train and simulate on a release, revoke it, and see keys, tokens and lineage react.

The gate, its server and the commands are the real ones. The release is made of a generated drive and, where the
folder of samples is there, of a real photograph of a street.
"""

import io
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import uvicorn
from PIL import Image
from typer.testing import CliRunner

from audit.events import EventType, Outcome
from gateway.cli import app
from gateway.flow.gate import Gate
from gateway.server import create_app
from gateway.vault.root import DEFAULT_ARGON2
from mining_drives import scene
from pipeline.artefacts import ArtefactKind, DerivedArtefact
from pipeline.client import GatewayClient
from pipeline.errors import UnregisteredError
from pipeline.publishing import publish
from pipeline.sealed_cache import SealedCache
from pipeline.training.access import Access
from pipeline.training.checkpoint import Lineage, load_checkpoint, save_checkpoint
from pipeline.training.dataset import GatewayDataset
from pipeline.training.errors import ReleaseEndedError
from pipeline.training.shard_file import StoredSample
from pipeline.training.training_manifest import read_training_manifest
from simulators import ORIGIN, PASSPHRASE, PURPOSE, START, House, released

HZ = 10
SECONDS = 60
SHOTS_S = {"cam/0.png": 1.0, "cam/1.png": 4.5, "cam/2.png": 12.0}
REAL_S = 20.0
PERSONS = ("engineer", "first", "auditor")


def drive() -> bytes:
    """North at 12 m/s, a hard brake from the fourth second on."""
    speeds = np.full(SECONDS * HZ, 12.0)
    speeds[40:50] -= np.arange(10) * 0.6
    speeds[50:] = 6.6
    lat = ORIGIN[0] + np.cumsum(speeds) / HZ / 111_200
    rows = ["time,lat,lon,speed"]
    for i, (degrees, speed) in enumerate(zip(lat.tolist(), speeds.tolist(), strict=True)):
        moment = (START + timedelta(seconds=i / HZ)).isoformat(timespec="milliseconds")
        rows.append(f"{moment.replace('+00:00', 'Z')},{degrees:.8f},{ORIGIN[1]:.8f},{speed:.3f}")
    return ("\n".join(rows) + "\n").encode()


def png(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.convert("RGB").resize((320, 200)).save(out, "PNG")
    return out.getvalue()


def real_photograph() -> bytes | None:
    root = Path(os.environ.get("FLEETGATE_SHARED", Path(__file__).parents[3] / "shared"))
    path = root / "data" / "media" / "kitti" / "image_2" / "000002.png"
    return png(Image.open(path)) if path.is_file() else None


def recorded() -> tuple[dict[str, bytes], dict[str, datetime]]:
    """The drive with its pictures, the last of them dark, and when each was taken."""
    dark = Image.fromarray((np.asarray(scene(5)) * 0.12).astype(np.uint8))
    shots = dict(zip(SHOTS_S, map(png, (scene(3), scene(4), dark)), strict=True))
    times = dict(SHOTS_S)
    if (real := real_photograph()) is not None:
        shots["cam/9.png"], times["cam/9.png"] = real, REAL_S
    return {"drive.csv": drive(), **shots}, {n: START + timedelta(seconds=t) for n, t in times.items()}


@contextmanager
def serving(gate: Gate) -> Iterator[str]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(create_app(gate), log_level="critical", access_log=False)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.02)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(30)


@dataclass(kw_only=True)
class Story:
    """Who takes part, where their files lie, and every artefact that was made, by name."""

    gate: Gate
    house: House
    url: str
    release: str
    folder: Path
    made: dict[str, str] = field(default_factory=dict)

    def path(self, name: str) -> str:
        return str(self.folder / name)

    @property
    def public(self) -> dict[str, Any]:
        return dict(self.gate.keystore.signing_key("release").as_dict(private=False))

    def client(self) -> GatewayClient:
        return self.access().client()

    def access(self) -> Access:
        key = self.house.people["engineer"].key
        return Access.of(self.url, key=key, principal="engineer", purpose=PURPOSE, release_key=self.public)

    def engineer(self, *command: str, fails: bool = False) -> dict[str, Any]:
        """What a command of the engineer answers."""
        options = [
            *("--url", self.url, "--key", self.path("engineer.pem"), "--principal", "engineer"),
            *("--purpose", PURPOSE, "--release-key", self.path("release.jwk")),
            *("--passphrase-file", self.path("passphrase"), "--json"),
        ]
        return self._ran([*command, *options], fails=fails)

    def person(self, who: str, *command: str) -> dict[str, Any]:
        """What a command answers that a person runs at the gate itself."""
        proof = ["--as", who, "--key", self.path(f"{who}.pem")]
        return self._ran(
            [*command, *proof, "--key-passphrase-file", self.path("passphrase"), "--json"], fails=False
        )

    def _ran(self, command: list[str], *, fails: bool) -> dict[str, Any]:
        environment = {"FLEETGATE_HOME": str(self.house.home), "FLEETGATE_PASSPHRASE": PASSPHRASE}
        done = CliRunner().invoke(app, command, env=environment)
        assert done.exit_code == (1 if fails else 0), (command, done.output)
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def manifest(self) -> Any:
        text = Path(self.path("night.jws")).read_text(encoding="ascii")
        return read_training_manifest(text, self.house.people["engineer"].key, now=datetime.now(tz=UTC))

    def dataset(self) -> GatewayDataset[torch.Tensor]:
        return GatewayDataset(
            Path(self.path("shards")), self.manifest(), self.access(), decode=brightness, seed=1
        )


def brightness(sample: StoredSample) -> torch.Tensor:
    """What the small model sees of a sample: mean colours, and how many boxes it has."""
    with Image.open(io.BytesIO(sample.content)) as picture:
        colours = np.asarray(picture.convert("RGB"), dtype=np.float32).mean(axis=(0, 1)) / 255
    return torch.tensor([*colours.tolist(), float(len(json.loads(sample.labels)["boxes"]))])


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("story")
    house = House(home=folder / "home", argon2=DEFAULT_ARGON2)
    with house.opened() as gate:
        house.furnish(gate)
        files, captured = recorded()
        release = released(gate, house, files, captured=captured)
        with serving(gate) as url:
            told = Story(gate=gate, house=house, url=url, release=release, folder=folder)
            for who in PERSONS:
                pem = folder / f"{who}.pem"
                pem.write_bytes(house.people[who].key.as_pem(private=True, password=PASSPHRASE))
                pem.chmod(0o600)
            (folder / "passphrase").write_text(f"{PASSPHRASE}\n")
            (folder / "release.jwk").write_text(json.dumps(told.public))
            mine(told)
            label(told)
            train(told)
            simulate(told)
            yield told


def mine(story: Story) -> None:
    cache = ("--cache", story.path("cache"))
    events = story.engineer("mine", "events", story.release, *cache)
    assert "hard_brake" in {event["trigger"] for event in events["events"]}
    pictures = story.engineer("mine", "pictures", story.release, "--events", "--select", "3", *cache)
    braking = [
        name
        for name, picture in pictures["pictures"].items()
        if "event:hard_brake" in {tag["name"] for tag in picture["tags"]}
    ]
    found = story.engineer("mine", "search", story.release, "--text", "急刹车", "--events", *cache)
    assert [each["item"] for each in found["results"]] == braking
    index = story.engineer(
        "mine", "index", "build", story.release, "--out", story.path("street.index"), *cache
    )
    Path(story.path("own.png")).write_bytes(png(scene(4)))
    like = story.engineer(
        "mine", "index", "search", story.path("street.index"), "--image", story.path("own.png")
    )
    assert like["results"][0]["item"] in braking
    story.made |= {
        "events": events["artefact"],
        "selection": pictures["artefact"],
        "index": index["artefact"],
    }
    Path(story.path("selected.json")).write_text(json.dumps(sorted(pictures["pictures"])))


def label(story: Story) -> None:
    """Boxes of the selected pictures, as a file of labels that is made of the selection."""
    names = json.loads(Path(story.path("selected.json")).read_text())
    coco = {
        "categories": [{"id": 1, "name": "car"}],
        "images": [{"id": n, "file_name": name, "width": 320, "height": 200} for n, name in enumerate(names)],
        "annotations": [
            {"id": n, "image_id": n, "category_id": 1, "bbox": [8, 8, 40 + n, 30]} for n in range(len(names))
        ],
    }
    made = DerivedArtefact(
        kind=ArtefactKind.LABEL_SET,
        name="cars of the drive",
        sha256="",
        code="hand",
        releases=(story.release,),
        artefacts=(story.made["selection"],),
    )
    with story.client() as client:
        story.made["labels"] = publish(
            Path(story.path("labels.json")), json.dumps(coco).encode(), made, client
        )


def train(story: Story) -> None:
    labels = ("--labels", story.path("labels.json"))
    frozen = story.engineer(
        "train", "freeze", story.release, "--name", "night", "--out", story.path("night.jws"),
        "--class", "car", *labels,
    )  # fmt: skip
    sealed = story.engineer(
        "train", "shards", story.path("night.jws"), "--out", story.path("shards"), *labels
    )
    assert sealed["samples"] == frozen["samples"] >= len(SHOTS_S)
    model = torch.nn.Linear(4, 1)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01)
    seen = 0
    for features in story.dataset():
        loss = (model(features) - features[3]).square().mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        seen += 1
    assert seen == sealed["samples"]
    lineage = Lineage.of(
        story.manifest(), code="test", parameters={"epochs": 1}, artefacts=(sealed["artefact"],)
    )
    with story.client() as client:
        model_id = save_checkpoint(Path(story.path("model.pt")), model.state_dict(), lineage, client)
        assert load_checkpoint(Path(story.path("model.pt")), client).artefact == model_id
    story.made |= {"manifest": frozen["artefact"], "shards": sealed["artefact"], "model": model_id}


def simulate(story: Story) -> None:
    with story.client() as client:
        digest = client.manifest(story.release).digest
    template = CliRunner().invoke(app, ["simulate", "example"]).stdout
    Path(story.path("cut-in.yaml")).write_text(
        f"{template}sources: [{{release: '{story.release}', digest: '{digest}'}}]\n", encoding="utf-8"
    )
    made = story.engineer("simulate", "register", story.path("cut-in.yaml"))
    story.made["scenario"] = made["artefact"]


def lineage(story: Story) -> dict[str, dict[str, Any]]:
    found = story.person("auditor", "lineage", story.release)
    return {each["artefact"]: each for each in found["artefacts"]}


def test_every_step_is_in_the_lineage_with_its_parents(story: Story):
    found = lineage(story)
    made = story.made
    assert set(found) >= set(made.values())
    assert not any(each["revoked"] for each in found.values())
    assert all(each["attested"] for each in found.values())
    parents = {name: found[artefact]["derived_from"]["artefacts"] for name, artefact in made.items()}
    assert parents["labels"] == [made["selection"]]
    assert parents["manifest"] == [made["labels"]]
    assert parents["shards"] == [made["manifest"]]
    assert parents["model"] == sorted([made["shards"], made["labels"]])


def test_every_use_is_in_the_ledger(story: Story):
    asked = story.person("auditor", "audit", "ask", "uses")["rows"]
    assert {row["outcome"] for row in asked} == {"completed"}
    assert {row["kind"] for row in asked} >= {"triggers", "tags", "text", "train"}
    assert {(row["actor"], *row["releases"]) for row in asked} == {("engineer", story.release)}
    (search,) = [row for row in asked if row["kind"] == "text"]
    words = story.person("auditor", "audit", "words", search["use"])
    assert words["query"]["text"] == "急刹车"
    assert not any("急刹车".encode() in entry.leaf for entry in story.gate.ledger.entries())


def test_no_picture_lies_on_the_engineers_disk(story: Story):
    kept = [path for path in story.folder.rglob("*") if path.is_file() and "home" not in path.parts]
    kept.remove(Path(story.path("own.png")))
    for path in kept:
        content = path.read_bytes()
        assert b"IHDR" not in content, path
        assert b"\xff\xd8\xff\xe0" not in content, path


def test_real_photographs_took_part(story: Story):
    if real_photograph() is None:
        pytest.skip("the folder of real samples is not here (set FLEETGATE_SHARED)")
    assert len(story.manifest().samples) == len(SHOTS_S) + 1


REFUSED = {
    "mine events": ("mine", "events", "{release}", "--cache", "{cache}"),
    "mine pictures": ("mine", "pictures", "{release}", "--cache", "{cache}"),
    "mine search": ("mine", "search", "{release}", "--text", "夜间", "--cache", "{cache}"),
    "mine index build": ("mine", "index", "build", "{release}", "--out", "{again.index}"),
    "mine index search": ("mine", "index", "search", "{street.index}", "--image", "{own.png}"),
    "fetch": ("fetch", "{release}", "--out", "{fetched}"),
    "train freeze": ("train", "freeze", "{release}", "--name", "again", "--out", "{again.jws}"),
    "train check": ("train", "check", "{night.jws}"),
    "train shards": ("train", "shards", "{night.jws}", "--out", "{shards}", "--labels", "{labels.json}"),
    "simulate register": ("simulate", "register", "{cut-in.yaml}"),
    "labels": ("artefact", "standing", "{labels.json}"),
    "model": ("artefact", "standing", "{model.pt}"),
}
REASONS = {"denied", "no_grant", "release_ended", "artefact_revoked"}


def test_a_revocation_ends_every_step_and_marks_what_was_made(story: Story):
    """The last act: whoever adds a test of the life before it puts it above."""
    with story.client() as client, SealedCache(client, Path(story.path("cache")), key=story.access().key):
        assert list(Path(story.path("cache")).glob("*/*.sealed"))
        answer = story.person("first", "release", "revoke", story.release)
        assert {each["artefact"] for each in answer["artefacts"]} >= set(story.made.values())
        assert [row["principal"] for row in answer["received"]] == ["engineer"]
        found = lineage(story)
        assert set(found) >= set(story.made.values())
        assert all(each["revoked"] for each in found.values())
        assert all(client.standing(each).revoked for each in story.made.values())
    assert list(Path(story.path("shards")).glob("*/*.shard"))
    with pytest.raises(ReleaseEndedError, match=story.release):  # training goes on with what lies sealed
        next(iter(story.dataset()))
    assert not list(Path(story.path("shards")).glob("*/*")), "shards and their salt are wiped"
    with story.client() as client:
        with pytest.raises(ReleaseEndedError, match=story.release):
            load_checkpoint(Path(story.path("model.pt")), client)
        late = DerivedArtefact(
            kind=ArtefactKind.MODEL, name="late", sha256="", code="x", artefacts=(story.made["shards"],)
        )
        with pytest.raises(UnregisteredError):
            publish(Path(story.path("late.pt")), b"weights", late, client)
        assert not Path(story.path("late.pt")).exists()
    for name, command in REFUSED.items():
        filled = [
            story.release if part == "{release}" else story.path(part[1:-1]) if part[0] == "{" else part
            for part in command
        ]
        told = story.engineer(*filled, fails=True)
        assert told["reason"] in REASONS, (name, told)
        assert told["detail"], name
    assert not [path for path in Path(story.path("cache")).rglob("*") if path.is_file()]
    assert not any(Path(story.path(name)).exists() for name in ("again.jws", "again.index", "street.index"))
    refused = [
        entry.event
        for entry in story.gate.ledger.entries()
        if entry.event.type is EventType.USE_RELEASE_REPORT and entry.event.outcome is Outcome.REFUSED
    ]
    assert len(refused) >= 4
    assert story.gate.ledger.verify().open_intents == 0
