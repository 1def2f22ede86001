"""Files derived from released data: in place only once the gate knows them, kept sealed until then.

Beside a published file lies ``NAME.artefact.json``: the id under which the gate knows it, by the file's SHA-256;
also of the file that it replaced, so that a break in between loses neither. Where the gate cannot be reached or
refuses, the content is kept as ``NAME.DIGEST.unregistered``, sealed under a key that follows from the principal's
private key, with the signed statement that is to be registered and the digest of the file that it is to replace:
no later step takes it, and no work is lost.
"""

import json
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import file_digest, sha256
from pathlib import Path
from typing import BinaryIO, Final

import rfc8785

from pipeline.artefacts import DerivedArtefact
from pipeline.client import GatewayClient
from pipeline.errors import PipelineError, PublishingError, RevokedArtefactError, UnregisteredError
from pipeline.sealing import BrokenSealError, SealedWriter, open_sealed

BESIDE: Final = ".artefact.json"
HELD: Final = ".unregistered"
COPY_BYTES: Final = 1024 * 1024
_USE: Final = "fleetgate unregistered artefact v1"


def publish(path: Path, content: bytes, artefact: DerivedArtefact, client: GatewayClient) -> str:
    """Register an artefact and put its file in place; returns its id at the gate.

    Args:
        path: Where it goes; one that is there is replaced.
        content: The file.
        artefact: What it is; its digest is taken from the content.
        client: Connection to the gate.

    Raises:
        UnregisteredError: The gate does not register it; it is kept sealed, for ``publish_held``.
        PublishingError: A file cannot be written.
    """
    digest = sha256(content).hexdigest()
    registered = _registered(path, digest, artefact, lambda: (content,), client)
    _note(path, digest, registered)
    _put(path, content)
    return registered


def publish_file(made: Path, path: Path, artefact: DerivedArtefact, client: GatewayClient) -> str:
    """The same for a file that was written under another name beside its place, such as one too large for memory.

    Where the gate does not register it, ``made`` is removed once its content is kept sealed.

    Raises:
        UnregisteredError, PublishingError: As ``publish``.
    """
    digest = _digest_of(made)

    def pieces() -> Iterator[bytes]:
        with made.open("rb") as file:
            while piece := file.read(COPY_BYTES):
                yield piece

    try:
        registered = _registered(path, digest, artefact, pieces, client)
        _note(path, digest, registered)
        with _told(path):
            made.replace(path)
    finally:
        made.unlink(missing_ok=True)
    return registered


def publish_files(
    folder: Path, files: Mapping[str, bytes], artefact: DerivedArtefact, client: GatewayClient
) -> str:
    """Register files of a folder as one artefact and put them in place, each with the id beside it; returns it.

    The artefact's digest is that of the RFC 8785 form of the files' digests by name. Nothing is kept sealed: this
    is for what is quickly made again.

    Raises:
        RefusedError, UnreachableError: The gate does not register it: no file is there.
        PublishingError: A file cannot be written.
    """
    digests = {name: sha256(content).hexdigest() for name, content in files.items()}
    of_all = sha256(rfc8785.dumps(dict(digests))).hexdigest()
    registered = client.register(replace(artefact, sha256=of_all))
    with _told(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        _note(folder / name, digests[name], registered)
        _put(folder / name, content)
    return registered


def _registered(
    path: Path,
    digest: str,
    artefact: DerivedArtefact,
    pieces: Callable[[], Iterable[bytes]],
    client: GatewayClient,
) -> str:
    """Register an artefact, or keep its content sealed."""
    statement = client.statement(replace(artefact, sha256=digest))
    held = path.with_name(f"{path.name}.{digest[:16]}{HELD}")
    try:
        return client.register_statement(statement)
    except PipelineError as error:
        _hold(held, path, statement, pieces(), client)
        raise UnregisteredError(
            f"{path.name} was made, but the gate did not register it: {error}; it is kept sealed, go on by "
            f"`fleetgate artefact publish {held}`"
        ) from error
    except BaseException:  # interrupted: whether the gate knows it is unknown
        _hold(held, path, statement, pieces(), client)
        raise


def publish_held(held: Path, client: GatewayClient) -> tuple[Path, str]:
    """Register what ``publish`` kept sealed, and put it in place; the file, and its id at the gate.

    A file that was in its place when it was made is replaced. Registering the same statement again changes
    nothing, so that a break at any step loses nothing.

    Raises:
        PublishingError: It is no such file, not this principal's, or a file that came since is in its place.
        RefusedError: The gate refuses; it stays as it is.
        UnreachableError: It cannot be reached; it stays as it is.
    """
    kept = _opened(held, client)
    path, content = held.with_name(kept.name), kept.content
    digest = sha256(content).hexdigest()
    if path.exists() and _digest_of(path) not in {digest, kept.replaces}:
        raise PublishingError(f"{path} is there with other content (move it, then go on)")
    registered = client.register_statement(kept.statement)
    _note(path, digest, registered)
    _put(path, content)
    held.unlink(missing_ok=True)
    return path, registered


def held_in(folder: Path) -> tuple[Path, ...]:
    """What lies in a folder sealed because the gate did not register it, in order of names."""
    return tuple(sorted(folder.glob(f"*{HELD}")))


def registered_as(path: Path, content: bytes | None = None) -> str:
    """The id under which a file is registered, as the file beside it says; the gate is not asked.

    Raises:
        UnregisteredError: Nothing beside it says so, or it is another file than the registered one.
        PublishingError: It cannot be read.
    """
    digest = _digest_of(path) if content is None else sha256(content).hexdigest()
    known = _known(path)
    if digest not in known:
        raise UnregisteredError(
            f"{path.name} is not registered at the gate (got sha256 {digest}, expected one of {sorted(known)})"
        )
    return known[digest]


def require_standing(path: Path, client: GatewayClient, content: bytes | None = None) -> str:
    """The id of a published file, if what it rests on still stands at the gate.

    Raises:
        UnregisteredError: It is not registered.
        RevokedArtefactError: A release below it was revoked; the message names it. The file is left to its owner.
        PipelineError: The gate cannot be asked.
    """
    artefact = registered_as(path, content)
    require_live(artefact, path.name, client)
    return artefact


def require_live(artefact: str, name: str, client: GatewayClient) -> None:
    """Ask the gate whether an artefact still stands.

    Raises:
        RevokedArtefactError: A release below it was revoked.
        PipelineError: The gate cannot be asked.
    """
    standing = client.standing(artefact)
    if standing.revoked:
        releases = ", ".join(sorted(standing.revoked_releases)) or "unknown"
        raise RevokedArtefactError(
            f"{name} (artefact {artefact}) rests on revoked releases: {releases}; it is not used"
        )


def note_registered(path: Path, digest: str, artefact: str) -> None:
    """Say beside a file or folder under which id a content of it is registered.

    Raises:
        PublishingError: It cannot be written.
    """
    _put(_beside(path), json.dumps({digest: artefact}).encode())


def known_as(path: Path) -> dict[str, str]:
    """The ids that lie beside a file or folder, by digest; empty where none do.

    Raises:
        PublishingError: What lies there is malformed.
    """
    return _known(path)


def _note(path: Path, digest: str, artefact: str) -> None:
    """Say beside a file's place what is to be there; of the file that it replaces, what was said stays."""
    known, before = {digest: artefact}, _known(path)
    replaced = _digest_of(path) if before and path.exists() else ""
    if replaced in before:
        known.setdefault(replaced, before[replaced])
    _put(_beside(path), json.dumps(known).encode())


def _digest_of(path: Path) -> str:
    with _told(path), path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _known(path: Path) -> dict[str, str]:
    beside = _beside(path)
    with _told(beside):
        if not beside.exists():
            return {}
        said = beside.read_bytes()
    try:
        return {str(digest): str(artefact) for digest, artefact in json.loads(said).items()}
    except (ValueError, AttributeError) as error:
        raise PublishingError(f"{beside.name}: {type(error).__name__}: {error}") from error


def _hold(held: Path, path: Path, statement: str, pieces: Iterable[bytes], client: GatewayClient) -> None:
    replaces = _digest_of(path) if path.exists() else None
    head = json.dumps({"name": path.name, "statement": statement, "replaces": replaces}).encode()
    with _appearing(held) as file:
        writer = SealedWriter(file, client.derived_key(_USE), HELD)
        writer.write(head + b"\n")
        for piece in pieces:
            writer.write(piece)
        writer.finish()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """What a file that is kept sealed says and holds."""

    name: str
    statement: str
    replaces: str | None
    content: bytes


def _opened(held: Path, client: GatewayClient) -> _Kept:
    try:
        with _told(held), held.open("rb") as file:
            whole = b"".join(open_sealed(file, client.derived_key(_USE), HELD))
        head, _, content = whole.partition(b"\n")
        said = json.loads(head)
        return _Kept(
            name=str(said["name"]),
            statement=str(said["statement"]),
            replaces=said.get("replaces"),
            content=content,
        )
    except (BrokenSealError, ValueError, KeyError, TypeError) as error:
        raise PublishingError(f"{held.name} does not open under your key: {error}") from error


def _beside(path: Path) -> Path:
    return path.with_name(path.name + BESIDE)


def _put(path: Path, content: bytes) -> None:
    with _appearing(path) as file:
        file.write(content)


@contextmanager
def _appearing(path: Path) -> Iterator[BinaryIO]:
    """Write a file that takes its name only once it is whole and on the disk."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with _told(path):
        try:
            with partial.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PublishingError(
            f"{error.strerror or type(error).__name__}: {error.filename or path}"
        ) from error
