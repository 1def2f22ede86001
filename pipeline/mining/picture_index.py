"""An index over the pictures of releases, sealed on disk and of use only while every one of them may be read.

A sealed file (``pipeline.sealing``) under a key that follows from the principal's private key: a line of JSON with
releases and names, then the index as faiss writes it. It is published at the gate as an artefact (``index``).
Before each search the gate is asked for the artefact and for every release below it; where one was revoked or may
not be read any more the file is removed, as the sealed cache wipes what it holds.
"""

import json
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import faiss

from pipeline.artefacts import ArtefactKind, DerivedArtefact
from pipeline.client import GatewayClient
from pipeline.errors import PublishingError, RefusedError, RevokedArtefactError
from pipeline.manifest import ReleaseManifest
from pipeline.mining.clip import ClipIdentity
from pipeline.mining.descriptors import LOOK_VERSION, FloatVector
from pipeline.mining.errors import IndexFileError
from pipeline.mining.search import FLAT_UP_TO, ImageSearch
from pipeline.publishing import publish_file, require_standing
from pipeline.sealed_cache import ENDING_STATUSES
from pipeline.sealing import BrokenSealError, SealedWriter, open_sealed

_VERSION: Final = 1
_USE: Final = "fleetgate picture index v1"
_SEPARATOR: Final = "\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenIndex:
    """An index that may be searched now.

    Attributes:
        search: Finds by descriptor; names are ``release`` and ``item``, see ``split``.
        releases: Ids of the releases below it.
        artefact: Its id at the gate.
    """

    search: ImageSearch
    releases: tuple[str, ...]
    artefact: str


def joined(release: str, item: str) -> str:
    """A picture's name in an index over several releases."""
    return f"{release}{_SEPARATOR}{item}"


def split(name: str) -> tuple[str, str]:
    """Release and item of a picture of an index."""
    release, _, item = name.partition(_SEPARATOR)
    return release, item


def write_index(
    path: Path,
    name: str,
    manifests: Iterable[ReleaseManifest],
    descriptors: Mapping[str, FloatVector],
    client: GatewayClient,
    *,
    clip: ClipIdentity | None = None,
    flat_up_to: int = FLAT_UP_TO,
) -> tuple[str, ImageSearch]:
    """Build an index, seal it, and publish it; its id at the gate, and the index.

    Args:
        path: Where it goes; one that is there is replaced.
        name: What people call it.
        manifests: Of the releases.
        descriptors: Of the pictures, by ``joined``.
        client: Connection to the gate.
        clip: Whose vectors they are; None says looks.
        flat_up_to: Vectors up to which every one is compared.

    Raises:
        UnregisteredError: The gate does not register it; it is kept sealed.
        PublishingError: It cannot be written.
    """
    below = list(manifests)
    search = ImageSearch(descriptors, flat_up_to=flat_up_to)
    head = {
        "version": _VERSION,
        **_seen(clip),
        "releases": [manifest.release for manifest in below],
        "names": [list(split(each)) for each in search.names],
    }
    made = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with made.open("xb") as file:
            writer = SealedWriter(file, client.derived_key(_USE), _USE)
            writer.write(json.dumps(head).encode() + b"\n")
            if search.index is not None:
                faiss.write_index(search.index, faiss.PyCallbackIOWriter(writer.write))  # type: ignore[attr-defined]
            writer.finish()
        artefact = publish_file(made, path, _derived(name, below, descriptors, search, clip), client)
    except OSError as error:
        raise PublishingError(f"{path}: {error.strerror}") from error
    finally:
        made.unlink(missing_ok=True)
    return artefact, search


def open_index(path: Path, client: GatewayClient, *, clip: ClipIdentity | None = None) -> OpenIndex:
    """Open an index to search it now.

    1. It is published, and the gate says that nothing below it was revoked. 2. It opens under the principal's key,
    is of this version, and holds what is looked for: vectors of ``clip``, or looks where there is none. 3. Every
    release below it may be read now.

    Raises:
        UnregisteredError: It is not published.
        RevokedArtefactError: Step 1 fails otherwise; the file is removed.
        IndexFileError: Step 2 fails.
        RefusedError: Step 3 fails; where the right to read is over the file is removed.
        PipelineError: The gate cannot be asked.
    """
    try:
        artefact = require_standing(path, client)  # 1
    except RevokedArtefactError:
        path.unlink(missing_ok=True)
        raise
    releases, search = _read(path, client, clip)  # 2
    for release in releases:  # 3
        try:
            client.confirm(release)
        except RefusedError as error:
            if error.status in ENDING_STATUSES:
                path.unlink(missing_ok=True)
            raise
    return OpenIndex(search=search, releases=releases, artefact=artefact)


def _read(
    path: Path, client: GatewayClient, clip: ClipIdentity | None
) -> tuple[tuple[str, ...], ImageSearch]:
    try:
        with path.open("rb") as file:
            content = _Pieces(open_sealed(file, client.derived_key(_USE), _USE))
            head = json.loads(content.line())
            if head["version"] != _VERSION:
                raise IndexFileError(
                    f"{path.name} (got version {head['version']}, expected {_VERSION}): make it anew"
                )
            _require_seen(path, head, clip)
            names = [joined(str(release), str(item)) for release, item in head["names"]]
            index = (
                faiss.read_index(faiss.PyCallbackIOReader(content.read))  # type: ignore[attr-defined]
                if names
                else faiss.IndexFlatIP(1)
            )
            content.end()
        return tuple(map(str, head["releases"])), ImageSearch.of_index(names, index)
    except (OSError, BrokenSealError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise IndexFileError(f"{path.name} does not open under your key: {error}") from error


def _seen(clip: ClipIdentity | None) -> dict[str, Any]:
    """What vectors are: looks of a version, or those of a network."""
    return {"look": LOOK_VERSION} if clip is None else {"look": None, "clip": clip.document()}


def _require_seen(path: Path, head: Mapping[str, Any], clip: ClipIdentity | None) -> None:
    stated = head.get("clip")
    made = None if stated is None else ClipIdentity(name=str(stated["name"]), sha256=str(stated["sha256"]))
    if made != clip or (clip is None and head["look"] != LOOK_VERSION):
        got, wanted = (each or f"looks {head['look'] or LOOK_VERSION}" for each in (made, clip))
        raise IndexFileError(f"{path.name} (got vectors of {got}, expected of {wanted})")


class _Pieces:
    """Reads of any size from segments that were proved one by one."""

    def __init__(self, segments: Iterator[bytes]) -> None:
        self._segments, self._held = segments, b""

    def line(self) -> bytes:
        """Up to the first line's end."""
        while b"\n" not in self._held:
            self._held += next(self._segments, b"\n")
        line, _, self._held = self._held.partition(b"\n")
        return line

    def read(self, size: int) -> bytes:
        """So many bytes, fewer at the end."""
        parts, wanted = [], size
        while wanted:
            if not self._held:
                self._held = next(self._segments, b"")
                if not self._held:
                    break
            part, self._held = self._held[:wanted], self._held[wanted:]
            parts.append(part)
            wanted -= len(part)
        return b"".join(parts)

    def end(self) -> None:
        """Prove the end; more than was read is an error."""
        if self._held or any(self._segments):
            raise ValueError("there is more in it than an index")


def _derived(
    name: str,
    manifests: list[ReleaseManifest],
    descriptors: Mapping[str, FloatVector],
    search: ImageSearch,
    clip: ClipIdentity | None,
) -> DerivedArtefact:
    by_release = {manifest.release: manifest.by_name for manifest in manifests}
    items = {by_release[release][item].sha256 for release, item in map(split, descriptors)}
    parameters: dict[str, Any] = {"mode": search.mode, "pictures": len(descriptors), **_seen(clip)}
    return DerivedArtefact(
        kind=ArtefactKind.INDEX,
        name=name,
        sha256=sha256(b"").hexdigest(),
        code=f"fleetgate {version('fleetgate')}",
        parameters=parameters,
        releases=tuple(sorted(by_release)),
        items=tuple(sorted(items)),
    )
