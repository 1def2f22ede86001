"""A gate with released pictures of a car that passes, a labelling task of them, and label servers over HTTP."""

import io
import json
import math
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import sqlalchemy as sa
import uvicorn
from click.testing import Result
from PIL import Image, ImageDraw
from typer.testing import CliRunner

from gateway.cli import app
from gateway.flow.gate import Gate
from gateway.flow.records import GrantRow
from gateway.flow.release import revoke_grant
from gateway.server import create_app
from pipeline.client import GatewayClient
from pipeline.labelling.invitations import invite
from pipeline.labelling.ontology import shipped_label_ontology
from pipeline.labelling.server import create_label_app
from pipeline.labelling.service import LabelService
from pipeline.labelling.store import TaskFolder
from pipeline.labelling.task import LabelTask, create_task
from simulators import ORIGIN, PASSPHRASE, PURPOSE, START, House, grant, released

ROOT = Path(__file__).parents[1]
PATIENCE_S = 120.0
FRAMES = 5
SIZE = (640, 400)
ONTOLOGY = (ROOT / "pipeline/labelling/driving.yaml").read_bytes()


def street(number: int, drive_number: int = 0) -> Image.Image:
    """A road under a sky; a car of flat colour passes from left to right, a sign stands still."""
    rng = np.random.default_rng([drive_number, number])
    picture = Image.new("RGB", SIZE, (150, 185, 215))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 190, 640, 400), fill=(82, 84, 88))
    draw.polygon([(0, 190), (640, 190), (640, 215), (0, 230)], fill=(78, 110, 70))
    for x in range(-40 * (number % 3), 640, 120):
        draw.polygon([(x, 330), (x + 60, 330), (x + 50, 338), (x - 10, 338)], fill=(220, 220, 214))
    draw.rectangle((548, 96, 556, 220), fill=(120, 120, 120))
    draw.polygon([(552, 60), (586, 110), (518, 110)], fill=(210, 60, 50))
    left, top, right, bottom = car_at(number)
    draw.rectangle((left, top + 26, right, bottom - 12), fill=(170, 44, 40))
    draw.polygon(
        [(left + 24, top + 28), (left + 46, top), (right - 40, top), (right - 12, top + 28)],
        fill=(146, 36, 34),
    )
    for wheel in (left + 30, right - 34):
        draw.ellipse((wheel - 14, bottom - 26, wheel + 14, bottom), fill=(24, 24, 26))
    noise = rng.normal(0, 3, (SIZE[1], SIZE[0], 3))
    return Image.fromarray((np.asarray(picture) + noise).clip(0, 255).astype(np.uint8))


def car_at(number: int) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the car in a frame."""
    left = 30 + 60 * number
    return left, 210, left + 150, 300


def drive(street_number: int = 0) -> tuple[dict[str, bytes], dict[str, datetime]]:
    """A drive north at 12 m/s with a picture every half second of its first clip, and their times.

    Drives along other streets are other trips: none is released twice.
    """
    fixes = 3000
    lat = ORIGIN[0] + 0.2 + 0.1 * street_number + np.arange(fixes) * 1.2 / 111_200
    rows = ["time,lat,lon,speed"]
    for i, degrees in enumerate(lat.tolist()):
        moment = (START + timedelta(seconds=i / 10)).isoformat(timespec="milliseconds")
        rows.append(f"{moment.replace('+00:00', 'Z')},{degrees:.8f},{ORIGIN[1] + 0.1:.8f},12.0")
    files, captured = {"drive.csv": ("\n".join(rows) + "\n").encode()}, {}
    for number in range(FRAMES):
        out = io.BytesIO()
        street(number, street_number).save(out, "PNG")
        files[f"cam/{number}.png"] = out.getvalue()
        captured[f"cam/{number}.png"] = START + timedelta(seconds=1 + number / 2)
    return files, captured


@contextmanager
def listening() -> Iterator[socket.socket]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        yield listener


@contextmanager
def running(application: Any, listener: socket.socket) -> Iterator[str]:
    config = uvicorn.Config(application, log_level="critical", access_log=False, server_header=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + PATIENCE_S
    while not server.started:
        assert thread.is_alive()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gated:
    """A gate that runs."""

    gate: Gate
    house: House
    url: str
    streets: Iterator[int] = field(default_factory=count)

    def release(self) -> str:
        """A release of another drive, granted to the engineer."""
        files, captured = drive(next(self.streets))
        return released(self.gate, self.house, files, captured=captured)

    @contextmanager
    def without_grant(self, release: str) -> Iterator[None]:
        """Nobody has a grant on the release; afterwards the engineer has one again."""
        with self.gate.database.read() as session:
            live = list(session.scalars(sa.select(GrantRow).where(GrantRow.release_id == release)))
        for row in live:
            if row.revoked_at is None:
                revoke_grant(self.gate, row.id, actor=self.house.people["first"].actor)
        try:
            yield
        finally:
            grant(self.gate, self.house, release)

    def client(self) -> GatewayClient:
        return GatewayClient(
            self.url,
            key=self.house.people["engineer"].key,
            principal="engineer",
            purpose=PURPOSE,
            release_key=self.gate.keystore.signing_key("release").as_dict(private=False),
        )

    def options(self, folder: Path) -> dict[str, str]:
        """What every command of the engineer's is given."""
        folder.mkdir(parents=True, exist_ok=True)
        key = self.house.people["engineer"].key
        (folder / "key.pem").write_bytes(key.as_pem(private=True, password=PASSPHRASE))
        (folder / "passphrase").write_text(f"{PASSPHRASE}\n")
        public = self.gate.keystore.signing_key("release").as_dict(private=False)
        (folder / "release.jwk").write_text(json.dumps(public))
        return {
            "--url": self.url,
            "--key": str(folder / "key.pem"),
            "--passphrase-file": str(folder / "passphrase"),
            "--principal": "engineer",
            "--purpose": PURPOSE,
            "--release-key": str(folder / "release.jwk"),
        }


@contextmanager
def gated(home: Path) -> Iterator[Gated]:
    house = House(home=home)
    with house.opened() as gate:
        house.furnish(gate)
        with listening() as listener, running(create_app(gate), listener) as url:
            yield Gated(gate=gate, house=house, url=url)


@dataclass(slots=True, kw_only=True)
class Labelled:
    """A task, its folder, and the time that its server goes by."""

    gated: Gated
    root: Path
    task: LabelTask
    folder: TaskFolder
    ahead: timedelta = field(default_factory=timedelta)
    url: str = ""
    service: LabelService | None = None
    people: list["Person"] = field(default_factory=list)

    def now(self) -> datetime:
        return datetime.now(tz=UTC) + self.ahead

    def enter(self, person: str) -> "Person":
        return self.person(self.invitation(person))

    def invitation(self, person: str) -> str:
        return invite(self.folder, self.task, person, ends_at=self.task.expires_at, now=datetime.now(tz=UTC))

    def person(self, token: str) -> "Person":
        self.people.append(Person(self.url, token))
        return self.people[-1]


class Person:
    """Somebody at a label server, as a browser would be."""

    def __init__(self, url: str, token: str) -> None:
        self.url, self.token = url, token
        self.http = httpx.Client(base_url=url, timeout=PATIENCE_S)
        self.entered = self.http.post("/enter", data={"token": token}, headers={"Origin": url})

    def frame(self, number: int = 0) -> dict[str, Any]:
        answer = self.http.get(f"/api/frames/{number}")
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    def save(self, number: int, revision: int, *labels: dict[str, Any]) -> httpx.Response:
        return self.http.put(
            f"/api/frames/{number}", json={"labels": list(labels)}, headers={"If-Match": f'"{revision}"'}
        )

    def review(self, number: int, revision: int, *reviews: dict[str, Any]) -> httpx.Response:
        headers = {"If-Match": f'"{revision}"'}
        return self.http.put(
            f"/api/frames/{number}/reviews", json={"reviews": list(reviews)}, headers=headers
        )

    def object(self, name: str = "car") -> str:
        return str(self.http.post("/api/objects", json={"class": name}).json()["id"])


def box(object_id: str, x: float = 30, y: float = 210, **more: Any) -> dict[str, Any]:
    geometry = {"kind": "bbox", "x": x, "y": y, "width": 150, "height": 90}
    return {"object": object_id, "geometry": geometry, "attributes": {}, **more}


def made_task(gated: Gated, root: Path, release: str, **more: Any) -> Labelled:
    """A task of all pictures of a release: li and wang label, zhao reviews."""
    key = gated.house.people["engineer"].key
    with gated.client() as client:
        task = create_task(
            root,
            client,
            key=key,
            owner="engineer",
            name="晚高峰 evening",
            release=release,
            ontology=ONTOLOGY,
            annotators=("wang", "li"),
            reviewers=("zhao",),
            expires_at=datetime.now(tz=UTC) + timedelta(days=2),
            **more,
        )
    assert task.ontology.digest == shipped_label_ontology().digest
    return Labelled(gated=gated, root=root, task=task, folder=TaskFolder(root, task.id, key))


@contextmanager
def serving(labelled: Labelled, **more: Any) -> Iterator[Labelled]:
    """A label server of the task, in this process, that asks the gate before everything it shows."""
    gated = labelled.gated
    with gated.client() as client, listening() as listener:
        origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
        service = LabelService(
            labelled.root,
            client,
            client,
            key=gated.house.people["engineer"].key,
            owner="engineer",
            purpose=PURPOSE,
            clock=labelled.now,
            **{"lease_s": 1e-9, "views_per_minute": 1000, **more},
        )
        labelled.service = service
        with running(create_label_app(service, origin=origin), listener) as url:
            labelled.url = url
            try:
                yield labelled
            finally:
                for person in labelled.people:
                    person.http.close()


class ServerProcess:
    """``fleetgate label serve`` as a process of its own."""

    def __init__(self, labelled: Labelled, folder: Path, *more: str) -> None:
        options = [part for pair in labelled.gated.options(folder).items() for part in pair]
        command = [sys.executable, "-c", "import gateway.cli; gateway.cli.main()", "label", "serve"]
        self.log = (folder / "log").open("ab")
        self.process = subprocess.Popen(  # noqa: S603 (our own command)
            [*command, *options, "--store", str(labelled.root), "--port", "0", "--json", *more],
            stdout=subprocess.PIPE,
            stderr=self.log,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, (folder / "log").read_text(errors="replace")
        self.url = json.loads(line)["url"].removesuffix("/enter")
        deadline = time.monotonic() + PATIENCE_S
        while not self._answers():
            assert time.monotonic() < deadline
            assert self.process.poll() is None
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/enter", timeout=PATIENCE_S).status_code == 200
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE_S)
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.log.close()


def run_label(options: dict[str, str], *arguments: str) -> Result:
    flat = [part for pair in options.items() for part in pair]
    return CliRunner().invoke(app, ["label", *arguments, *flat])


def mark_share(shown: bytes, original: bytes) -> tuple[float, float]:
    """Share of pixels that differ by 12 levels or more, and the peak signal-to-noise ratio in dB."""
    pictures = [np.asarray(Image.open(io.BytesIO(c)).convert("RGB"), dtype=float) for c in (shown, original)]
    difference = np.abs(pictures[0] - pictures[1])
    noise = 10 * math.log10(255**2 / float((difference**2).mean()))
    return float((difference.max(axis=2) >= 12).mean()), noise
