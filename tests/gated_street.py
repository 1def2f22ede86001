"""Two releases of pictures at a real gate, behind a proxy that can fall silent; labels, a manifest, and shards."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import uvicorn

from gateway.flow.gate import Gate
from gateway.server import create_app
from pipeline.client import GatewayClient
from pipeline.training.access import Access
from pipeline.training.labels import read_coco
from pipeline.training.shards import ShardFolder, write_shards
from pipeline.training.training_manifest import TrainingManifest, freeze
from simulators import PURPOSE, START, House, csv_track, png, released

SIDE = 64
PICTURES = 4


@dataclass(slots=True, kw_only=True)
class Proxy:
    """In front of the real gate, as a reverse proxy is: it can be without it for what is registered."""

    app: Any
    silent: bool = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if not (self.silent and scope["type"] == "http" and scope["path"].endswith("/artefacts")):
            await self.app(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 503, "headers": []})
        await send({"type": "http.response.body", "body": b""})


@dataclass(slots=True, kw_only=True)
class GatedStreet:
    """A running gate with two releases of four pictures each, frozen and sealed for training."""

    gate: Gate
    house: House
    proxy: Proxy
    access: Access
    releases: tuple[str, str]
    manifest: TrainingManifest
    shards: Path

    def options(self, folder: Path) -> list[str]:
        """Options of the connection for commands; key files and the manifest, as ``m.jws``, go into the folder."""
        folder.mkdir(exist_ok=True)
        (folder / "key.pem").write_bytes(self.access.key.as_pem(private=True))
        (folder / "release.jwk").write_text(json.dumps(dict(self.access.release_jwk)))
        (folder / "m.jws").write_text(self.manifest.statement)
        return [
            *("--url", self.access.url, "--key", str(folder / "key.pem"), "--principal", "engineer"),
            *("--purpose", PURPOSE, "--release-key", str(folder / "release.jwk")),
        ]


def _labels(client: GatewayClient, releases: tuple[str, str]) -> bytes:
    names = [
        f"{release}/{item.name}"
        for release in releases
        for item in client.manifest(release).items
        if item.media_type == "image/png"
    ]
    return json.dumps(
        {
            "categories": [{"id": 0, "name": "car"}, {"id": 1, "name": "行人"}],
            "images": [
                {"id": n, "file_name": name, "width": SIDE, "height": SIDE} for n, name in enumerate(names)
            ],
            "annotations": [
                {"id": n, "image_id": n, "category_id": n % 2, "bbox": [8, 8, 30, 30]}
                for n in range(len(names))
            ],
        }
    ).encode()


@contextmanager
def gated_street(folder: Path, *, first_seed: int = 0) -> Iterator[GatedStreet]:
    """A gate of its own below a folder; other seeds make other pictures."""
    house = House(home=folder / "home")
    with house.opened() as gate, socket.socket() as listener:
        house.furnish(gate)
        taken = {f"{n}.png": START + timedelta(seconds=n + 1) for n in range(PICTURES)}
        first, second = (
            released(
                gate,
                house,
                {
                    "drive.csv": csv_track(400 + r),
                    **{f"{n}.png": png(SIDE, SIDE, first_seed + n + PICTURES * r) for n in range(PICTURES)},
                },
                captured=taken,
            )
            for r in range(2)
        )
        listener.bind(("127.0.0.1", 0))
        proxy = Proxy(app=create_app(gate))
        server = uvicorn.Server(uvicorn.Config(proxy, log_level="critical", access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.02)
        key = house.people["engineer"].key
        access = Access.of(
            f"http://127.0.0.1:{listener.getsockname()[1]}",
            key=key,
            principal="engineer",
            purpose=PURPOSE,
            release_key=gate.keystore.signing_key("release").as_dict(private=False),
        )
        with access.client() as client:
            labels = read_coco(_labels(client, (first, second)))
            manifest = freeze(
                "street", client, [first, second], key=key, now=datetime.now(tz=UTC), labels=labels
            )
            shards = ShardFolder(folder / "shards", manifest, key)
            write_shards(client, shards, labels=labels)
        yield GatedStreet(
            gate=gate,
            house=house,
            proxy=proxy,
            access=access,
            releases=(first, second),
            manifest=manifest,
            shards=shards.folder,
        )
        server.should_exit = True
        thread.join(30)
