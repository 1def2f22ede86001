"""The production engine: an Open Policy Agent server that an operator starts with the same bundle."""

import hashlib
import threading
from importlib import resources
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from opa_client.errors import PolicyNotFoundError  # type: ignore[import-untyped]
from opa_client.opa import OpaClient  # type: ignore[import-untyped]
from requests.exceptions import RequestException

from policies.bundle import Bundle
from policies.decision import Decision, read_decision
from policies.errors import EngineError
from policies.question import Question

_DEFAULT_PORT = 8181


class OpaServerEngine:
    """Judges by asking an OPA server; never writes policies or data to it.

    Args:
        url: ``https://host[:port]``, or ``http://`` on the loopback interface only.
        bundle: The bundle that the server must serve.
        timeout_s: Longest wait for one answer in seconds; there are no retries.
        ca_file: Certificates to trust for ``https``; None trusts the public ones that certifi lists.
        token: What a guarded server knows this gate by; it must then serve ``guard()``, and no other.

    Raises:
        EngineError: The URL is not admissible, the server is unreachable or it serves other policies.
    """

    def __init__(
        self,
        url: str,
        bundle: Bundle,
        timeout_s: float,
        ca_file: Path | None = None,
        *,
        token: str | None = None,
    ) -> None:
        self.name = "opa"
        self.bundle = bundle
        self._where = _checked(url, ca_file)
        self._timeout_s = timeout_s
        self._token = token
        self._local = threading.local()
        self._closed = False
        self._verify_server()

    def decide(self, question: Question) -> Decision:
        """Judge one question.

        Raises:
            EngineError: The server failed, timed out or gave no decision of the pinned bundle.
        """
        answer = self._ask(f"fleetgate.{question.point.value}", "decision", question.document())
        return read_decision(answer, question=question, bundle=self.bundle, engine=self.name)

    def close(self) -> None:
        """Refuse further questions."""
        self._closed = True

    def _verify_server(self) -> None:
        """Make sure that the server holds the bundle and nothing else.

        1. Its data carries the bundle's digest.
        2. Its modules are the bundle's modules, byte for byte, none more and none less; where it is asked with a
           token, the guard as well.
        """
        # 1.
        digest = self._ask("fleetgate_bundle", "digest", {})
        if digest != self.bundle.digest:
            raise EngineError(
                f"{self.name} serves another bundle (got {digest!r}, expected {self.bundle.digest!r})"
            )
        # 2.
        served = sorted(self._modules())
        guards = [] if self._token is None else [guard()]
        expected = sorted([*self.bundle.modules().values(), *guards])
        if served != expected:
            strange = len([source for source in served if source not in set(expected)])
            raise EngineError(
                f"{self.name} serves other modules (got {len(served)}, {strange} of them unknown, "
                f"expected {len(expected)})"
            )

    def _modules(self) -> list[str]:
        client = self._client()
        try:
            names = client.get_policies_list()
            return [str(client.get_policy(quote(name, safe=""))["result"]["raw"]) for name in names]
        except (RequestException, PolicyNotFoundError, KeyError, ValueError) as error:
            raise EngineError(
                f"{self.name} does not show its modules: {type(error).__name__}: {error}"
            ) from error

    def _ask(self, package: str, rule: str, document: dict[str, Any]) -> Any:
        try:
            response = self._client().query_rule(document, package, rule)
        except (RequestException, ValueError) as error:
            raise EngineError(f"{self.name} did not answer: {type(error).__name__}: {error}") from error
        # An undefined rule is an empty document with status 200.
        if not isinstance(response, dict) or "result" not in response:
            raise EngineError(f"{self.name} has no {package}.{rule} (got {response!r}, expected a result)")
        return response["result"]

    def _client(self) -> Any:
        """Return this thread's client; its HTTP session is not made for sharing."""
        if self._closed:
            raise EngineError(f"{self.name} is closed")
        if not hasattr(self._local, "client"):
            host, port, tls = self._where
            client = OpaClient(
                host=host, port=port, ssl=tls, retries=0, timeout=self._timeout_s, token=self._token
            )
            # Variables of the environment would replace the CA file and the token, or name a proxy that answers.
            client._session.trust_env = False  # noqa: SLF001 (the library has no way to say so)
            self._local.client = client
        return self._local.client


def guard() -> str:
    """The module ``system.authz`` that ships with Fleetgate: the gate asks, and nobody writes."""
    return (resources.files("policies") / "opa" / "authz.rego").read_text("utf-8")


def guard_environment(token: str) -> dict[str, str]:
    """What a guarded server is told of the gate's token: never the token itself."""
    return {"OPA_GATE_TOKEN_SHA256": hashlib.sha256(token.encode()).hexdigest()}


def opa_command(
    directory: Path,
    address: str,
    opa: Path = Path("opa"),
    *,
    guarded: bool = False,
    tls: tuple[Path, Path] | None = None,
) -> list[str]:
    """Return the command by which an operator serves a bundle written by ``write_bundle``.

    Args:
        directory: What ``write_bundle`` wrote.
        address: ``host:port`` to listen on.
        opa: The OPA binary.
        guarded: Whether the folder holds the guard, so that requests need the gate's token.
        tls: Certificate chain and private key, both PEM.
    """
    command = [str(opa), "run", "--server", "--disable-telemetry", "--addr", address]
    if tls is not None:
        command += ["--tls-cert-file", str(tls[0]), "--tls-private-key-file", str(tls[1])]
    if guarded:
        command += ["--authentication", "token", "--authorization", "basic"]
    return [*command, "--bundle", str(directory)]


def _checked(url: str, ca_file: Path | None) -> tuple[str, int, str | bool]:
    try:
        parts, port = urlsplit(url), urlsplit(url).port or _DEFAULT_PORT
    except ValueError as error:
        raise EngineError(f"OPA URL is not admissible (got {url!r}): {error}") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path.strip("/") or parts.query:
        raise EngineError(f"OPA URL is not admissible (got {url!r}, expected https://host[:port])")
    if parts.username or parts.password:
        raise EngineError("OPA URL is not admissible (got credentials, expected https://host[:port])")
    if parts.scheme == "https":
        return parts.hostname, port, str(ca_file) if ca_file else True
    if not _is_loopback(parts.hostname):
        raise EngineError(
            f"plain HTTP lets anyone forge decisions (got {url!r}, expected https or a loopback host)"
        )
    return parts.hostname, port, False


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
