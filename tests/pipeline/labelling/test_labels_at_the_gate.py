"""A label set on a real gate: exported and registered under a grant, parent of training, refused once revoked."""

import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from audit.events import EventType, Outcome
from gateway.cli import app
from gateway.flow.gate import Gate
from gateway.flow.lineage import release_lineage
from gateway.flow.release import revoke_release
from gateway.flow.use import read_query
from gateway.server import create_app
from labelled_frames import ONTOLOGY, WU
from pipeline.client import GatewayClient
from pipeline.labelling.geometry import BoundingBox
from pipeline.labelling.label_set import (
    Label,
    LabelledFrame,
    LabelledObject,
    LabelSet,
    Lineage,
    ReviewState,
    new_label_set,
)
from pipeline.labelling.openlabel import openlabel_digest, write_openlabel
from pipeline.training.checkpoint import Lineage as Trained
from pipeline.training.errors import LabelFileError
from pipeline.training.label_sets import boxes_of
from pipeline.training.training_manifest import read_training_manifest
from simulators import ORIGIN, PURPOSE, START, House, png, released


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    gate: Gate
    house: House
    url: str
    release: str

    def client(self) -> GatewayClient:
        return GatewayClient(
            self.url,
            key=self.house.people["engineer"].key,
            principal="engineer",
            purpose=PURPOSE,
            release_key=self.gate.keystore.signing_key("release").as_dict(private=False),
        )

    def lineage(self) -> dict[str, Any]:
        actor = self.house.people["auditor"].actor
        return {
            each["artefact"]: each
            for each in release_lineage(self.gate, self.release, actor=actor)["artefacts"]
        }


def drive(seconds: int = 300, hz: int = 10) -> bytes:
    """Straight north at 12 m/s: LOCAL releases give pictures of its clips."""
    rows = ["time,lat,lon,speed"]
    for n in range(seconds * hz):
        moment = (START + timedelta(seconds=n / hz)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        rows.append(f"{moment},{ORIGIN[0] + 12 * n / hz / 111_200:.8f},{ORIGIN[1]:.8f},12.000")
    return ("\n".join(rows) + "\n").encode()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    house = House(home=tmp_path_factory.mktemp("labels") / "home")
    with house.opened() as gate, socket.socket() as listener:
        house.furnish(gate)
        files = {"drive.csv": drive(), **{f"cam/{n}.png": png(320, 240, n) for n in range(2)}}
        captured = {f"cam/{n}.png": START + timedelta(seconds=n + 1) for n in range(2)}
        release = released(gate, house, files, captured=captured)
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(create_app(gate), log_level="critical", access_log=False)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.02)
        yield Served(
            gate=gate, house=house, url=f"http://127.0.0.1:{listener.getsockname()[1]}", release=release
        )
        server.should_exit = True
        thread.join(30)


@pytest.fixture(scope="module")
def labelled(served: Served) -> LabelSet:
    with served.client() as client:
        manifest = client.manifest(served.release)
        frames = []
        for item in manifest.items:
            if item.media_type.startswith("image/"):
                with Image.open(io.BytesIO(client.read(served.release, item.name))) as picture:
                    width, height = picture.size
                frames.append(LabelledFrame(item=item.name, sha256=item.sha256, width=width, height=height))
    box = BoundingBox(x=10, y=20, width=30, height=40)
    return new_label_set(
        ONTOLOGY,
        Lineage(release=served.release, release_digest=manifest.digest, code="test"),
        frames,
        [LabelledObject(id="0", label_class="car")],
        [Label(item=frames[0].item, object_id="0", geometry=box, source=WU)],
    )


@pytest.fixture
def run(served: Served, tmp_path: Path) -> Callable[..., Result]:
    key = served.house.people["engineer"].key
    (tmp_path / "key.pem").write_bytes(key.as_pem(private=True))
    public = served.gate.keystore.signing_key("release").as_dict(private=False)
    (tmp_path / "release.jwk").write_text(json.dumps(public))
    options = [
        *("--url", served.url, "--key", str(tmp_path / "key.pem"), "--principal", "engineer"),
        *("--purpose", PURPOSE, "--release-key", str(tmp_path / "release.jwk")),
    ]

    def command(*arguments: str) -> Result:
        return CliRunner().invoke(app, [*arguments, *options, "--json"])

    return command


@pytest.fixture
def file(labelled: LabelSet, tmp_path: Path) -> Path:
    path = tmp_path / "labels.json"
    path.write_bytes(write_openlabel(labelled))
    return path


def answer_of(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_an_export_is_in_the_ledger_and_holds_no_picture(
    served: Served, run: Callable[..., Result], file: Path, labelled: LabelSet, tmp_path: Path
):
    """Laws 1, 3 and 7: under a live grant, known to the gate; nothing but labels and names of released items."""
    answer = answer_of(run("label", "export", "coco", str(file), "--out", str(tmp_path / "coco")))
    (written,) = (tmp_path / "coco").iterdir()
    document = json.loads(written.read_bytes())
    assert [each["file_name"] for each in document["images"]] == list(labelled.frames)
    assert answer["digest"] == openlabel_digest(file.read_bytes())
    events = [e.event for e in served.gate.ledger.entries()]
    use = [e for e in events if (e.type, e.outcome) == (EventType.USE_RELEASE_REPORT, Outcome.COMPLETED)][-1]
    assert (use.actor, use.release, use.facts["kind"]) == ("engineer", served.release, "label")
    query = read_query(served.gate, use.object, actor=served.house.people["auditor"].actor)["query"]
    assert query == {"export": "coco", "label_set": answer["digest"]}
    assert set(document) == {"images", "categories", "annotations"}


def test_a_set_of_another_release_or_with_foreign_frames_is_not_exported(
    run: Callable[..., Result], labelled: LabelSet, tmp_path: Path
):
    other = replace(labelled.lineage, release_digest="0" * 64)
    strange = LabelledFrame(item="secret.png", sha256="1" * 64, width=10, height=10)
    for name, spoilt, said in (
        ("digest", replace(labelled, lineage=other), "0" * 64),
        ("frame", new_label_set(ONTOLOGY, labelled.lineage, [strange]), "secret.png"),
    ):
        path = tmp_path / f"{name}.json"
        path.write_bytes(write_openlabel(spoilt))
        result = run("label", "export", "yolo", str(path), "--out", str(tmp_path / name))
        assert result.exit_code == 1
        assert said in json.loads(result.stdout)["detail"]
        assert not (tmp_path / name).exists()


def test_a_label_set_is_a_parent_of_what_is_trained_and_falls_with_its_release(
    served: Served, run: Callable[..., Result], file: Path, tmp_path: Path
):
    registered = answer_of(run("label", "register", str(file), "--name", "night-1"))["artefact"]
    told = served.lineage()[registered]
    assert (told["kind"], told["digest"]) == ("label_set", openlabel_digest(file.read_bytes()))

    manifest, shards = tmp_path / "m.jws", tmp_path / "shards"
    named = ("--label-set", str(file))
    frozen = answer_of(
        run(
            *("train", "freeze", served.release, "--name", "n", "--out", str(manifest), *named),
            *("--label-artefact", registered),
        )
    )
    assert frozen["artefacts"] == [registered]
    assert frozen["labels"] == openlabel_digest(file.read_bytes())
    assert frozen["samples"] == 2
    made = answer_of(run("train", "shards", str(manifest), "--out", str(shards), *named))
    assert made["samples"] == 2
    key = served.house.people["engineer"].key
    read = read_training_manifest(manifest.read_text(), key, now=datetime.now(tz=UTC))
    assert Trained.of(read, code="c", parameters={}).artefacts == (registered,)

    unregistered = answer_of(
        run("train", "freeze", served.release, "--name", "n2", "--out", str(tmp_path / "m2.jws"), *named)
    )
    (parent,) = unregistered["artefacts"]
    assert served.lineage()[parent]["name"] == "n2"

    revoke_release(served.gate, served.release, actor=served.house.people["first"].actor)
    for command in (
        ("label", "export", "coco", str(file), "--out", str(tmp_path / "late")),
        ("label", "register", str(file), "--name", "late"),
        ("train", "check", str(manifest)),
    ):
        assert run(*command).exit_code == 1
    assert not (tmp_path / "late").exists()


def test_rejected_labels_are_not_trained_on_and_no_box_is_an_error(labelled: LabelSet):
    (at,) = labelled.labels
    rejected = labelled.reviewed(at, ReviewState.REJECTED, "li")
    with pytest.raises(LabelFileError, match="got none in 2 frames"):
        boxes_of(rejected, "0" * 64)
    with pytest.raises(LabelFileError, match="'car'"):
        boxes_of(labelled, "0" * 64, ["bus"])
    found = boxes_of(labelled, "0" * 64)
    assert [len(each.boxes) for each in found.pictures.values()] == [1, 0]
