"""moto's S3 on loopback, and in front of it what goes wrong between a gate and its object store."""

import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from obstore.store import S3Store
from werkzeug.serving import make_server

from gateway.vault.s3 import S3Blobs
from gateway.vault.s3_place import S3Place, open_store

BUCKET = "sealed-objects"
CREDENTIALS = {"access_key_id": "AKIAFLEETGATETEST", "secret_access_key": "a secret that opens nothing"}

Environ = dict[str, Any]
Trouble = Callable[[Environ, Callable[[], Iterable[bytes]], Callable[..., Any]], Iterable[bytes]]


@dataclass
class S3Service:
    """A running service; ``trouble``, where it is set, comes before it for requests that ``meets`` says."""

    url: str
    meets: Callable[[Environ], bool] = lambda _: True
    trouble: Trouble | None = None
    requests: list[str] = field(default_factory=list)

    def place(self, prefix: str = "gate", bucket: str = BUCKET, timeout_s: float = 20.0) -> S3Place:
        return S3Place(bucket=bucket, prefix=prefix, endpoint=self.url, timeout_s=timeout_s)

    def blobs(self, prefix: str = "gate", *, part_bytes: int = 1000, timeout_s: float = 20.0) -> S3Blobs:
        return S3Blobs(self.place(prefix, timeout_s=timeout_s), CREDENTIALS, part_bytes=part_bytes)

    @contextmanager
    def troubled(self, trouble: Trouble, meets: Callable[[Environ], bool] = lambda _: True) -> Iterator[None]:
        self.trouble, self.meets = trouble, meets
        try:
            yield
        finally:
            self.trouble, self.meets = None, lambda _: True

    def call(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """A request that is not signed, as moto lets everybody make."""
        headers = {"Content-Type": "application/octet-stream"}
        request = urllib.request.Request(  # noqa: S310 (loopback)
            f"{self.url}{path}", data=body, method=method, headers=headers
        )
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 (the same)
            content: bytes = answer.read()
        return content

    def store(self) -> S3Store:
        """The bucket past the gate's own code, to look into it and to damage it."""
        return open_store(self.place(prefix=""), CREDENTIALS)

    def get(self, key: str) -> bytes:
        return bytes(self.store().get(key).bytes())

    def keys(self) -> list[str]:
        return sorted(each["path"] for page in self.store().list() for each in page)


def answering(status: str, body: bytes = b"") -> Trouble:
    """The request never reaches the store."""

    def trouble(
        environ: Environ, _: Callable[[], Iterable[bytes]], start: Callable[..., Any]
    ) -> Iterable[bytes]:
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        start(status, [("Content-Length", str(len(body)))])
        return [body]

    return trouble


def silent(seconds: float) -> Trouble:
    """No answer comes in time."""

    def trouble(
        environ: Environ, _: Callable[[], Iterable[bytes]], start: Callable[..., Any]
    ) -> Iterable[bytes]:
        time.sleep(seconds)
        return answering("503 Slow Down")(environ, list, start)

    return trouble


def losing_answers(count: int) -> Trouble:
    """The store does what it was asked to, and the first ``count`` answers are lost."""
    left = [count]

    def trouble(
        environ: Environ, forward: Callable[[], Iterable[bytes]], start: Callable[..., Any]
    ) -> Iterable[bytes]:
        if not left[0]:
            return forward()
        left[0] -= 1
        environ["s3_service.deaf"] = True
        b"".join(forward())
        start("500 Internal Server Error", [("Content-Length", "0")])
        return [b""]

    return trouble


def changing(header: str, value: str | None) -> Trouble:
    """The request arrives with another value of a header, or without it."""

    def trouble(
        environ: Environ, forward: Callable[[], Iterable[bytes]], _: Callable[..., Any]
    ) -> Iterable[bytes]:
        if value is None:
            environ.pop(header, None)
        else:
            environ[header] = value
        return forward()

    return trouble


@contextmanager
def s3_service(*buckets: str) -> Iterator[S3Service]:
    moto = DomainDispatcherApplication(create_backend_app)
    service = S3Service(url="")

    def application(environ: Environ, start: Callable[..., Any]) -> Iterable[bytes]:
        service.requests.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}")

        def answer(*args: Any) -> Any:
            return None if environ.get("s3_service.deaf") else start(*args)

        def forward() -> Iterable[bytes]:
            forwarded: Iterable[bytes] = moto(environ, answer)
            return forwarded

        if service.trouble is not None and service.meets(environ):
            return service.trouble(environ, forward, start)
        return forward()

    server = make_server("127.0.0.1", 0, application, threaded=True)
    service.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        service.call("POST", "/moto-api/reset", b"")
        for bucket in buckets or (BUCKET,):
            service.call("PUT", f"/{bucket}")
        yield service
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
