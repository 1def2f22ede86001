"""Reads released data over HTTP, under a grant, for one purpose, and believes nothing that is not signed."""

import json
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

import httpx
from joserfc.jwk import OKPKey
from joserfc.util import urlsafe_b64decode

from pipeline.answers import refusal_of
from pipeline.artefacts import ArtefactStanding, DerivedArtefact, UseKind
from pipeline.errors import TamperedReleaseError, UnexpectedAnswerError, UnreachableError
from pipeline.fetching import Fetched, Progress, fetch_release, ignore_progress
from pipeline.manifest import ReleaseItem, ReleaseManifest, read_release_manifest
from pipeline.reading import ItemReader
from pipeline.sealing import derive_key
from pipeline.signing import PurposeAuth, ReleaseKey, load_private_key
from pipeline.signing import release_key as release_key_of

RELEASES_PATH: Final = "/downstream/v1/releases"
ARTEFACTS_PATH: Final = "/downstream/v1/artefacts"
USES_PATH: Final = "/downstream/v1/uses"
MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseSummary:
    """One entry of the gateway's list, not yet verified: read the manifest before relying on it."""

    release: str
    purpose: str
    expires_at: str


class GatewayClient:
    """A principal's connection to one gateway for one purpose."""

    def __init__(
        self,
        base_url: str,
        *,
        key: OKPKey | Path,
        principal: str,
        purpose: str,
        release_key: ReleaseKey | Mapping[str, Any],
        passphrase: str | None = None,
        client: httpx.Client | None = None,
    ) -> None:
        """Bind the client.

        Args:
            base_url: Origin of the gateway, with scheme.
            key: The principal's Ed25519 private key, or its PEM file.
            principal: The identifier under which the gateway knows the key.
            purpose: The registered purpose; every request states and signs it.
            release_key: The operator's public release key (key or JWK), obtained from the operator, never
                from the gateway.
            passphrase: Opens the PEM file.
            client: Client to use and leave open; by default one of its own, closed with it.

        Raises:
            KeyFileError: A key is not of the kind that is needed.
            ValueError: The base URL, principal or purpose cannot be sent.
        """
        origin = httpx.URL(base_url)
        if origin.scheme not in {"http", "https"} or not origin.host:
            raise ValueError(f"base_url (got {base_url!r}, expected http:// or https:// with a host)")
        private = load_private_key(key, passphrase) if isinstance(key, Path) else key
        self._base = base_url.rstrip("/")
        self._purpose = purpose
        self._release_key = release_key_of(release_key)
        self._auth = PurposeAuth(principal=principal, purpose=purpose, key=private)
        self._principal, self._key = principal, private
        self._owned = client is None
        self._client = client or httpx.Client(timeout=httpx.Timeout(30.0))
        self._manifests: dict[str, ReleaseManifest] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the client's own connections."""
        if self._owned:
            self._client.close()

    def releases(self) -> tuple[ReleaseSummary, ...]:
        """Releases that the principal may read for its purpose.

        Raises:
            RefusedError: The gateway refuses.
            UnexpectedAnswerError: It answers in another form.
            UnreachableError: It cannot be reached.
        """
        with self._answer(RELEASES_PATH) as response:
            content = _whole(response)
        try:
            answer: Any = httpx.Response(200, content=content).json()
            return tuple(
                ReleaseSummary(
                    release=str(entry["release"]),
                    purpose=str(entry["purpose"]),
                    expires_at=str(entry["expires_at"]),
                )
                for entry in answer["releases"]
            )
        except (ValueError, KeyError, TypeError) as error:
            raise UnexpectedAnswerError(f"list of releases: {type(error).__name__}: {error}") from error

    def manifest(self, release: str) -> ReleaseManifest:
        """The release's manifest, verified under the pinned key; asked for once.

        Raises:
            TamperedReleaseError: It does not verify.
            RefusedError: The gateway refuses.
            UnreachableError: It cannot be reached.
        """
        if release not in self._manifests:
            with self._answer(f"{_release_path(release)}/manifest") as response:
                content = _whole(response)
            try:
                statement = content.decode("ascii").strip()
            except UnicodeDecodeError as error:
                raise TamperedReleaseError(
                    "manifest is not a compact JWS (got bytes outside ASCII)"
                ) from error
            self._manifests[release] = read_release_manifest(
                statement, self._release_key, release=release, purpose=self._purpose
            )
        return self._manifests[release]

    def confirm(self, release: str) -> ReleaseManifest:
        """Ask the gate anew whether the release may be read now.

        Raises:
            TamperedReleaseError, RefusedError, UnreachableError: As ``manifest``.
        """
        self._manifests.pop(release, None)
        return self.manifest(release)

    @contextmanager
    def open(self, release: str, name: str) -> Iterator[ItemReader]:
        """Stream one item. Its bytes are proved only once the reader came to its end without an error.

        Raises:
            KeyError: The release has no item of that name.
            TamperedReleaseError: Size or digest differ from the signed manifest (raised while reading).
            RefusedError: The gateway refuses.
            UnreachableError: It cannot be reached, or the connection broke.
        """
        item = self.manifest(release).by_name[name]
        with self._answer(_item_path(release, item)) as response:
            if response.status_code != httpx.codes.OK:
                raise UnexpectedAnswerError(f"status of {name!r} (got {response.status_code}, expected 200)")
            reader = ItemReader(response.iter_raw(), item)
            try:
                yield reader
            finally:
                reader.close()

    def read(self, release: str, name: str, start: int | None = None, end: int | None = None) -> bytes:
        """Read an item or a part of it.

        A whole item is verified by size and digest. A part is verified in position and length only: the
        manifest signs no digests of parts.

        Args:
            release: Id of the release.
            name: Name of the item.
            start: First byte, 0 by default.
            end: Byte after the last, the item's size by default.

        Raises:
            KeyError: The release has no item of that name.
            ValueError: The range is empty or outside the item.
            TamperedReleaseError: A whole item differs from the signed manifest.
            UnexpectedAnswerError: The gateway sends another range than asked for.
            RefusedError: The gateway refuses.
            UnreachableError: It cannot be reached, or the connection broke.
        """
        item = self.manifest(release).by_name[name]
        first, after = start or 0, item.size if end is None else end
        if (first, after) == (0, item.size):
            with self.open(release, name) as reader:
                return reader.readall()
        if not 0 <= first < after <= item.size:
            raise ValueError(f"range of {name!r} (got [{start}, {end}), expected within [0, {item.size}))")
        headers = {"Range": f"bytes={first}-{after - 1}"}
        with self._answer(_item_path(release, item), headers) as response:
            return _part(response, item, first, after)

    def fetch(
        self, release: str, out_dir: Path, progress: Callable[[Progress], None] = ignore_progress
    ) -> Fetched:
        """Download a release into a folder; files that are there and verify are kept.

        Each file appears under its name only once it is verified, the signed manifest (``release.jws``) last.

        Raises:
            TamperedReleaseError: Something differs from the signed manifest; nothing of it appears.
            DestinationError: The folder cannot take the release safely, or another fetch is using it.
            RefusedError: The gateway refuses.
            UnreachableError: It cannot be reached, or the connection broke; repeat to go on.
        """
        manifest = self.manifest(release)
        return fetch_release(manifest, lambda item: self.open(release, item.name), out_dir, progress)

    def report_use(self, kind: UseKind, releases: Sequence[str], query: Mapping[str, Any]) -> str:
        """Tell the gate what releases are used for, before anything of it is shown; returns the use's id.

        The gate keeps a keyed digest of the query in its ledger, and the query sealed.

        Raises:
            RefusedError: The gate refuses, as it does a read: nothing may be shown.
            UnexpectedAnswerError: It answers in another form.
            UnreachableError: It cannot be reached: nothing may be shown.
        """
        content = json.dumps({"kind": kind.value, "releases": list(releases), "query": dict(query)}).encode()
        with self._answer(USES_PATH, content=content) as response:
            answer = _document(_whole(response), "use")
        if answer.get("kind") != kind.value or answer.get("releases") != list(releases):
            raise UnexpectedAnswerError(f"use (got {answer}, expected the one that was reported)")
        return str(answer["use"])

    def register(self, artefact: DerivedArtefact) -> str:
        """Register what was derived from releases, signed by the principal's key; returns its id.

        Whoever revokes one of those releases then learns of it.

        Raises:
            RefusedError: The gateway refuses: no live grant on a release, or a parent that is revoked.
            UnexpectedAnswerError: It answers in another form.
            UnreachableError: It cannot be reached.
        """
        return self.register_statement(self.statement(artefact))

    def statement(self, artefact: DerivedArtefact) -> str:
        """An artefact as the principal signs it, now; nothing is sent."""
        return artefact.statement(
            principal=self._principal, purpose=self._purpose, key=self._key, at=datetime.now(tz=UTC)
        )

    def register_statement(self, statement: str) -> str:
        """Register what ``statement`` gave; registering it again changes nothing. Returns the id.

        Raises:
            RefusedError, UnexpectedAnswerError, UnreachableError: As ``register``.
        """
        content = json.dumps({"statement": statement}).encode()
        expected = sha256(statement.encode()).hexdigest()
        with self._answer(ARTEFACTS_PATH, content=content) as response:
            answer = _document(_whole(response), "registration")
        if answer.get("artefact") != expected:
            raise UnexpectedAnswerError(f"artefact (got {answer.get('artefact')!r}, expected {expected})")
        return expected

    def derived_key(self, use: str) -> bytes:
        """A key of 32 bytes for one use, which only the principal's private key gives."""
        secret = str(self._key.as_dict(private=True)["d"])
        return derive_key(urlsafe_b64decode(secret.encode("ascii")), b"", use)

    def standing(self, artefact: str) -> ArtefactStanding:
        """Whether a registered artefact of the principal's organisation still stands.

        Raises:
            RefusedError: The gateway refuses.
            UnexpectedAnswerError: It answers in another form.
            UnreachableError: It cannot be reached.
        """
        with self._answer(f"{ARTEFACTS_PATH}/{quote(artefact, safe='')}") as response:
            answer = _document(_whole(response), "artefact")
        try:
            return ArtefactStanding(
                artefact=str(answer["artefact"]),
                revoked=bool(answer["revoked"]),
                revoked_releases=tuple(str(each) for each in answer["revoked_releases"]),
            )
        except (KeyError, TypeError) as error:
            raise UnexpectedAnswerError(f"artefact: {type(error).__name__}: {error}") from error

    @contextmanager
    def _answer(
        self, path: str, headers: Mapping[str, str] | None = None, *, content: bytes | None = None
    ) -> Iterator[httpx.Response]:
        sent = {"Accept-Encoding": "identity", **(headers or {})}
        if content is not None:
            digest = b64encode(sha256(content).digest()).decode("ascii")
            sent |= {"Content-Digest": f"sha-256=:{digest}:", "Content-Type": "application/json"}
        method = "GET" if content is None else "POST"
        request = self._client.build_request(method, self._base + path, headers=sent, content=content)
        try:
            response = self._client.send(request, auth=self._auth, follow_redirects=False, stream=True)
            try:
                if not response.is_success:
                    raise refusal_of(response)
                yield response
            finally:
                response.close()
        except httpx.TransportError as error:
            raise UnreachableError(f"{type(error).__name__}: {error}") from error


def _release_path(release: str) -> str:
    return f"{RELEASES_PATH}/{quote(release, safe='')}"


def _item_path(release: str, item: ReleaseItem) -> str:
    return f"{_release_path(release)}/items/{quote(item.name)}"


def _document(content: bytes, what: str) -> Mapping[str, Any]:
    try:
        answer = json.loads(content)
    except ValueError as error:
        raise UnexpectedAnswerError(f"{what}: {error}") from error
    if not isinstance(answer, dict):
        raise UnexpectedAnswerError(f"{what} (got {type(answer).__name__}, expected an object)")
    return answer


def _whole(response: httpx.Response) -> bytes:
    content = bytearray()
    for chunk in response.iter_raw():
        content += chunk
        if len(content) > MAX_ANSWER_BYTES:
            raise UnexpectedAnswerError(f"answer is too long (expected at most {MAX_ANSWER_BYTES} bytes)")
    return bytes(content)


def _part(response: httpx.Response, item: ReleaseItem, first: int, after: int) -> bytes:
    expected = f"bytes {first}-{after - 1}/{item.size}"
    got = response.status_code, response.headers.get("content-range")
    if got != (httpx.codes.PARTIAL_CONTENT, expected):
        raise UnexpectedAnswerError(f"range of {item.name!r} (got {got}, expected {(206, expected)})")
    content = bytearray()
    for chunk in response.iter_raw():
        content += chunk
        if len(content) > after - first:
            break
    if len(content) != after - first:
        raise UnexpectedAnswerError(
            f"range of {item.name!r} (got {len(content)} bytes, expected {after - first})"
        )
    return bytes(content)
