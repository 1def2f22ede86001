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
    """Serves both behind a peer's check of signatures; ``refused`` says which are refused, and how.

    Artefacts are kept as their makers state them; one rests on a refused release as on a revoked one.
    """

    def __init__(
        self, peer: Any, release_key: OKPKey, contents: dict[str, dict[str, bytes]] | None = None
    ) -> None:
        self.peer, self.key = peer, release_key
        self.contents = CONTENTS if contents is None else contents
        self.refused: dict[str, tuple[int, str]] = {}
        self.asked: list[str] = []
        self.statements: dict[str, str] = {}
        self.like = json.loads(jws.extract_compact(peer.statement.encode()).payload)
        self.artefacts: dict[str, dict[str, Any]] = {}
        self.uses: list[dict[str, Any]] = []
        for release in self.contents:
            self.publish(release)
        self.app = FastAPI(exception_handlers=peer.app.exception_handlers)
        self.app.get("/downstream/v1/releases/{release}/manifest")(self._manifest)
        self.app.get("/downstream/v1/releases/{release}/items/{name:path}")(self._item)
        self.app.post("/downstream/v1/artefacts", status_code=201)(self._register)
        self.app.get("/downstream/v1/artefacts/{artefact}")(self._standing)
        self.app.post("/downstream/v1/uses", status_code=201)(self._use)

    def publish(self, release: str, contents: dict[str, bytes] | None = None, **changes: Any) -> None:
        item = self.like["items"][0]
        items = [
            {**item, "name": name, "size": len(content), "sha256": sha256(content).hexdigest()}
            for name, content in (self.contents[release] if contents is None else contents).items()
        ]
        payload = {**self.like, "release": release, "items": items, "expires_at": END, **changes}
        header = {"alg": "Ed25519", "kid": "release", "typ": "fleetgate-release+jwt"}
        self.statements[release] = jws.serialize_compact(
            header, rfc8785.dumps(payload), self.key, algorithms=["Ed25519"]
        )

    def _no(self, request: Request, release: str) -> Response | None:
        return self.peer._check(request) or self._ended(release)

    def _ended(self, release: str) -> Response | None:
        if release not in self.refused:
            return None
        status, reason = self.refused[release]
        body = {"title": reason, "status": status, "detail": "as told", "reason": reason}
        return JSONResponse(body, status_code=status, media_type="application/problem+json")

    async def _manifest(self, request: Request, release: str) -> Response:
        return self._no(request, release) or Response(self.statements[release], media_type="application/jose")

    async def _item(self, request: Request, release: str, name: str) -> Response:
        self.asked.append(release)
        if (refused := self._no(request, release)) is not None:
            return refused
        content = self.contents[release][name]
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("range", ""))
        if not wanted:
            return Response(content)
        first, last = int(wanted[1]), int(wanted[2])
        headers = {"Content-Range": f"bytes {first}-{last}/{len(content)}"}
        return Response(content[first : last + 1], status_code=206, headers=headers)

    async def _register(self, request: Request) -> Response:
        statement = (await request.json())["statement"]
        stated = json.loads(jws.extract_compact(statement.encode()).payload)
        refused = self.peer._check(request)
        for release in stated["derived_from"]["releases"]:
            refused = refused or self._ended(release)
        if refused is not None:
            return refused
        artefact = sha256(statement.encode()).hexdigest()
        self.artefacts[artefact] = stated
        return JSONResponse({"artefact": artefact}, status_code=201)

    async def _standing(self, request: Request, artefact: str) -> Response:
        if (refused := self.peer._check(request)) is not None:
            return refused
        gone = sorted(set(self.artefacts[artefact]["derived_from"]["releases"]) & set(self.refused))
        return JSONResponse({"artefact": artefact, "revoked": bool(gone), "revoked_releases": gone})

    async def _use(self, request: Request) -> Response:
        stated = await request.json()
        refused = self.peer._check(request)
        for release in stated["releases"]:
            refused = refused or self._ended(release)
        if refused is not None:
            return refused
        self.uses.append(stated)
        return JSONResponse({"use": f"use-{len(self.uses)}", "query": "0" * 64, **stated}, status_code=201)
