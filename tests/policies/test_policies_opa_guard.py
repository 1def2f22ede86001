"""A guarded OPA server answers the gate's token and nobody else, takes no writes, and speaks TLS (real binary)."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from opa_servers import served_by
from policies.bundle import Bundle, write_bundle
from policies.embedded import EmbeddedEngine
from policies.engine import start_engine
from policies.errors import EngineError
from policies.opa_server import OpaServerEngine, guard
from policies.question import Point, Question
from policies.vectors import Vector, base_questions

TOKEN = "a-token-that-only-the-gate-has"
QUESTION_OF_READ = "/v1/data/fleetgate/serve/decision"


@pytest.fixture(scope="module")
def guarded(opa: Path, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory = tmp_path_factory.mktemp("guarded") / "bundle"
    write_bundle(bundle, directory, guard=guard())
    with served_by(opa, directory, token=TOKEN) as url:
        yield url


def answer(url: str, method: str, *, token: str | None = TOKEN, body: object = None) -> tuple[int, bytes]:
    """Status and body of a request."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, content, headers, method=method)  # noqa: S310 (loopback)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_the_gates_token_gets_the_decisions_of_every_vector(
    guarded: str, bundle: Bundle, vectors: tuple[Vector, ...]
) -> None:
    """A guard takes nothing from what the gate needs: modules are compared, vectors answered as recorded."""
    engine = OpaServerEngine(guarded, bundle, timeout_s=10, token=TOKEN)
    start_engine(engine, vectors)
    engine.close()


REFUSED: dict[str, tuple[str, str, str | None, object]] = {
    "another token": ("POST", QUESTION_OF_READ, "somebody-else", {"input": {}}),
    "no token": ("POST", QUESTION_OF_READ, None, {"input": {}}),
    "an empty token": ("POST", QUESTION_OF_READ, " ", {"input": {}}),
    "a decision read by GET": ("GET", QUESTION_OF_READ, TOKEN, None),
    "the rules of a point": ("POST", "/v1/data/fleetgate/serve/passed", TOKEN, {"input": {}}),
    "a whole point": ("POST", "/v1/data/fleetgate/serve", TOKEN, {"input": {}}),
    "below a decision": ("POST", f"{QUESTION_OF_READ}/allow", TOKEN, {"input": {}}),
    "a decision explained": ("POST", f"{QUESTION_OF_READ}?explain=full", TOKEN, {"input": {}}),
    "all data": ("GET", "/v1/data", TOKEN, None),
    "the law": ("GET", "/v1/data/law", TOKEN, None),
    "the law by POST": ("POST", "/v1/data/law", TOKEN, {"input": {}}),
    "the guard as data": ("POST", "/v1/data/system/authz/allow", TOKEN, {"input": {}}),
    "other data written": ("PUT", "/v1/data/law/approval", TOKEN, {}),
    "a decision written": ("PUT", QUESTION_OF_READ, TOKEN, {"allow": True}),
    "data patched": ("PATCH", "/v1/data", TOKEN, [{"op": "add", "path": "/x", "value": 1}]),
    "data deleted": ("DELETE", "/v1/data/law", TOKEN, None),
    "a policy written": ("PUT", "/v1/policies/mine", TOKEN, {}),
    "the guard replaced": ("PUT", "/v1/policies/system%2Fauthz.rego", TOKEN, {}),
    "a policy deleted": ("DELETE", "/v1/policies/mine", TOKEN, None),
    "an ad-hoc query": ("POST", "/v1/query", TOKEN, {"query": "x := opa.runtime()"}),
    "a compilation": ("POST", "/v1/compile", TOKEN, {"query": "data.law"}),
    "the old data API": ("POST", "/v0/data/fleetgate/serve/decision", TOKEN, {}),
    "the default decision": ("POST", "/", TOKEN, {}),
    "the configuration": ("GET", "/v1/config", TOKEN, None),
    "metrics": ("GET", "/metrics", TOKEN, None),
    "policies without a token": ("GET", "/v1/policies", None, None),
}


@pytest.mark.parametrize("name", REFUSED)
def test_everything_else_is_refused(guarded: str, name: str) -> None:
    method, path, token, body = REFUSED[name]
    status, content = answer(guarded + path, method, token=token, body=body)
    assert (status, json.loads(content)["code"]) == (401, "unauthorized"), content


def test_after_all_that_the_server_judges_as_before(
    guarded: str, bundle: Bundle, embedded: EmbeddedEngine, vectors: tuple[Vector, ...]
) -> None:
    """And whoever has no token learns no more than that it lives."""
    assert answer(f"{guarded}/health", "GET", token=None)[0] == 200
    engine = OpaServerEngine(guarded, bundle, timeout_s=10, token=TOKEN)
    for vector in vectors[::20]:
        assert engine.decide(vector.question).allowed is embedded.decide(vector.question).allowed
    engine.close()


def test_a_guard_and_a_token_go_together(guarded: str, served: str, bundle: Bundle) -> None:
    """Law 5: without the token nothing is asked; with one, a server that anybody may write to is not admitted."""
    for token in (None, "somebody-else"):
        with pytest.raises(EngineError, match=r"did not answer.*401"):
            OpaServerEngine(guarded, bundle, timeout_s=10, token=token)
    with pytest.raises(EngineError, match="other modules"):
        OpaServerEngine(served, bundle, timeout_s=10, token=TOKEN)


def test_a_weakened_guard_is_not_admitted(opa: Path, bundle: Bundle, tmp_path: Path) -> None:
    write_bundle(bundle, tmp_path / "bundle", guard=guard().replace("allow := false", "allow := true"))
    with (
        served_by(opa, tmp_path / "bundle", token=TOKEN) as url,
        pytest.raises(EngineError, match="other modules"),
    ):
        OpaServerEngine(url, bundle, timeout_s=10, token=TOKEN)


def certified(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for loopback and its key, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "opa")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "opa.crt", folder / "opa.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return paths


def test_over_tls_only_a_server_that_the_ca_vouches_for_is_asked(
    opa: Path, bundle: Bundle, embedded: EmbeddedEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the environment says of CAs and proxies."""
    tls = certified(tmp_path)
    (tmp_path / "other").mkdir()
    stranger, _ = certified(tmp_path / "other")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(stranger))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    write_bundle(bundle, tmp_path / "bundle", guard=guard())
    question = next(v for v in base_questions(bundle).items() if v[0][0] is Point.SERVE)
    with served_by(opa, tmp_path / "bundle", token=TOKEN, tls=tls) as url:
        assert url.startswith("https://")
        engine = OpaServerEngine(url, bundle, timeout_s=10, ca_file=tls[0], token=TOKEN)
        asked = Question.of(question[1])
        assert engine.decide(asked).allowed is embedded.decide(asked).allowed is True
        engine.close()
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tls[0]))
        for ca_file in (stranger, None):
            with pytest.raises(EngineError, match=r"SSL|certificate"):
                OpaServerEngine(url, bundle, timeout_s=10, ca_file=ca_file, token=TOKEN)
