"""Two releases of small pictures, labels of them, and a server of both that can refuse each."""

import io
import json
import re
from hashlib import sha256
from typing import Any

import rfc8785
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from joserfc import jws
from joserfc.jwk import OKPKey
from PIL import Image

PURPOSE = "perception-training"
COUNTS = {"rel-a": 23, "rel-b": 9}
SIZE = (12, 8)
SHARD_BYTES = 400
END = "2100-01-01T00:00:00+00:00"


def picture(seed: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", SIZE, (seed % 256, seed * 7 % 256, 90)).save(out, "PNG")
    return out.getvalue()


CONTENTS = {
    release: {f"image/{release}-{n:03}.png": picture(n + 100 * (release == "rel-b")) for n in range(count)}
    for release, count in COUNTS.items()
}


def coco(**changes: Any) -> bytes:
    names = [name for contents in CONTENTS.values() for name in contents]
    document = {
        "categories": [{"id": 1, "name": "car"}, {"id": 2, "name": "行人"}],
        "images": [
            {"id": n, "file_name": name, "width": SIZE[0], "height": SIZE[1]} for n, name in enumerate(names)
        ],
        "annotations": [
            {"id": n, "image_id": n, "category_id": 1 + n % 2, "bbox": [1, 1, 4.5, 3]}
            for n in range(0, len(names), 2)
        ],
        **changes,
    }
    return json.dumps(document).encode()


class TwoReleases:
    """Serves both behind a peer's check of signatures; ``refused`` says which are refused, and how."""

    def __init__(self, peer: Any, release_key: OKPKey) -> None:
        self.peer, self.key = peer, release_key
        self.refused: dict[str, tuple[int, str]] = {}
        self.asked: list[str] = []
        self.statements: dict[str, str] = {}
        self.like = json.loads(jws.extract_compact(peer.statement.encode()).payload)
        for release in CONTENTS:
            self.publish(release)
        self.app = FastAPI(exception_handlers=peer.app.exception_handlers)
        self.app.get("/downstream/v1/releases/{release}/manifest")(self._manifest)
        self.app.get("/downstream/v1/releases/{release}/items/{name:path}")(self._item)

    def publish(self, release: str, contents: dict[str, bytes] | None = None, **changes: Any) -> None:
        item = self.like["items"][0]
        items = [
            {**item, "name": name, "size": len(content), "sha256": sha256(content).hexdigest()}
            for name, content in (CONTENTS[release] if contents is None else contents).items()
        ]
        payload = {**self.like, "release": release, "items": items, "expires_at": END, **changes}
        header = {"alg": "Ed25519", "kid": "release", "typ": "fleetgate-release+jwt"}
        self.statements[release] = jws.serialize_compact(
            header, rfc8785.dumps(payload), self.key, algorithms=["Ed25519"]
        )

    def _no(self, request: Request, release: str) -> Response | None:
        refused: Response | None = self.peer._check(request)
        if refused is None and release in self.refused:
            status, reason = self.refused[release]
            body = {"title": reason, "status": status, "detail": "as told", "reason": reason}
            return JSONResponse(body, status_code=status, media_type="application/problem+json")
        return refused

    async def _manifest(self, request: Request, release: str) -> Response:
        return self._no(request, release) or Response(self.statements[release], media_type="application/jose")

    async def _item(self, request: Request, release: str, name: str) -> Response:
        self.asked.append(release)
        if (refused := self._no(request, release)) is not None:
            return refused
        content = CONTENTS[release][name]
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("range", ""))
        if not wanted:
            return Response(content)
        first, last = int(wanted[1]), int(wanted[2])
        headers = {"Content-Range": f"bytes {first}-{last}/{len(content)}"}
        return Response(content[first : last + 1], status_code=206, headers=headers)
