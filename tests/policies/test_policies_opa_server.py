"""A real OPA server answers as the embedded engine does, or is not admitted."""

import http.server
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from policies.bundle import Bundle, bundle_of, write_bundle
from policies.embedded import EmbeddedEngine
from policies.engine import start_engine
from policies.errors import EngineError
from policies.opa_server import OpaServerEngine, opa_command
from policies.vectors import Vector


@pytest.fixture(scope="module")
def engine(served: str, bundle: Bundle) -> Iterator[OpaServerEngine]:
    engine = OpaServerEngine(served, bundle, timeout_s=10)
    yield engine
    engine.close()


def test_both_engines_decide_alike(
    engine: OpaServerEngine, embedded: EmbeddedEngine, vectors: tuple[Vector, ...]
) -> None:
    """Whole decisions, facts and obligations included, are identical on every golden vector."""
    start_engine(engine, vectors)
    for vector in vectors:
        ours = embedded.decide(vector.question).as_dict() | {"engine": ""}
        theirs = engine.decide(vector.question).as_dict() | {"engine": ""}
        assert _unordered(ours) == _unordered(theirs), vector.name


def _unordered(value: object) -> object:
    """Sets reach JSON in an order of the engine's own."""
    if isinstance(value, dict):
        return {key: _unordered(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return sorted(
            (_unordered(entry) for entry in value), key=lambda entry: json.dumps(entry, sort_keys=True)
        )
    return value


def test_a_server_of_another_bundle_is_refused(served: str, bundle: Bundle) -> None:
    other = bundle_of(bundle.files | {"data/approval.yaml": bundle.files["data/approval.yaml"] + b"\n"})
    with pytest.raises(EngineError, match="another bundle"):
        OpaServerEngine(served, other, timeout_s=10)


@pytest.mark.parametrize("change", ["edited", "added", "removed"])
def test_a_server_whose_modules_differ_is_refused(
    serving: Callable[[Path], AbstractContextManager[str]], bundle: Bundle, tmp_path: Path, change: str
) -> None:
    """Law 6: the digest that the server states is not believed; its modules are compared."""
    directory = tmp_path / "bundle"
    write_bundle(bundle, directory)
    rule = directory / "rules" / "serve" / "grant_live" / "rule.rego"
    match change:
        case "edited":
            rule.write_text(rule.read_text("utf-8").replace("== false", "!= 7"), "utf-8")
        case "added":
            shutil.copy(rule, rule.with_name("again.rego"))
        case "removed":
            rule.unlink()
    with serving(directory) as url, pytest.raises(EngineError, match="other modules"):
        OpaServerEngine(url, bundle, timeout_s=10)


def test_a_closed_engine_refuses(served: str, bundle: Bundle, vectors: tuple[Vector, ...]) -> None:
    engine = OpaServerEngine(served, bundle, timeout_s=10)
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.decide(vectors[0].question)


def test_the_command_serves_and_never_takes_writes_from_us(tmp_path: Path) -> None:
    command = opa_command(tmp_path, "127.0.0.1:8181")
    assert command[:3] == ["opa", "run", "--server"]
    assert command[-2:] == ["--bundle", str(tmp_path)]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "opa",
        "ftp://127.0.0.1",
        "http://",
        "http://127.0.0.1/path",
        "http://127.0.0.1?x=1",
        "http://user:pass@127.0.0.1",
        "http://opa.example.com:8181",
        "http://10.0.0.7:8181",
        "http://127.0.0.1:99999",
    ],
)
def test_an_inadmissible_url_is_refused(url: str, bundle: Bundle) -> None:
    """Law 5: over plain HTTP anyone on the way could allow everything."""
    with pytest.raises(EngineError):
        OpaServerEngine(url, bundle, timeout_s=1)


@pytest.fixture
def fake_http() -> Iterator[tuple[str, dict[str, tuple[int, bytes]]]]:
    """An HTTP server that is no OPA; what it answers is set per test."""
    answers: dict[str, tuple[int, bytes]] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status, body = answers[""]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", answers
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"{}"),
        (200, b"[]"),
        (200, b"<html>"),
        (200, b""),
        (500, b"{}"),
        (404, b"{}"),
        (200, b'{"result": {}}'),
    ],
)
def test_anything_but_a_decision_is_an_error(
    fake_http: tuple[str, dict[str, tuple[int, bytes]]], bundle: Bundle, status: int, body: bytes
) -> None:
    """Law 5: an undefined rule is an empty document with status 200, and it does not allow."""
    url, answers = fake_http
    answers[""] = (status, body)
    with pytest.raises(EngineError):
        OpaServerEngine(url, bundle, timeout_s=2)


def test_a_server_that_is_gone_is_an_error(bundle: Bundle) -> None:
    with pytest.raises(EngineError, match="did not answer"):
        OpaServerEngine("http://127.0.0.1:9", bundle, timeout_s=1)
