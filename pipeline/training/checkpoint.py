"""Checkpoints that say what they rest on, and are taken up again only while that still stands.

A checkpoint is one file of torch: the state, and its lineage. Beside it lies ``NAME.artefact.json``: the id under
which the gate knows the file, by its digest; also of the file that it replaced, so that a break in between loses
neither. Weights are not sealed; what a model remembers of its samples lies in them.
"""

import io
import json
import os
import pickle
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import torch

from pipeline.artefacts import ArtefactKind, DerivedArtefact
from pipeline.client import GatewayClient
from pipeline.errors import RefusedError
from pipeline.sealed_cache import ENDING_STATUSES
from pipeline.training.errors import CheckpointError, ReleaseEndedError
from pipeline.training.training_manifest import TrainingManifest

_VERSION: Final = 1
_SUFFIX: Final = ".artefact.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """What a checkpoint rests on.

    Attributes:
        manifest: Digest of the training manifest.
        releases: Its releases.
        items: Digests of its samples.
        code: Version of the code that trains.
        parameters: What it was run with.
        artefacts: Ids of registered artefacts that it was made of, such as the checkpoint before it.
    """

    manifest: str
    releases: tuple[str, ...]
    items: tuple[str, ...]
    code: str
    parameters: Mapping[str, Any]
    artefacts: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        manifest: TrainingManifest,
        *,
        code: str,
        parameters: Mapping[str, Any],
        artefacts: tuple[str, ...] = (),
    ) -> "Lineage":
        """That of a training on a manifest."""
        return cls(
            manifest=manifest.digest,
            releases=tuple(sorted(manifest.releases)),
            items=tuple(sorted({sample.sha256 for sample in manifest.samples})),
            code=code,
            parameters=dict(parameters),
            artefacts=tuple(sorted({*manifest.artefacts, *artefacts})),
        )

    def document(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "manifest": self.manifest,
            "releases": list(self.releases),
            "items": list(self.items),
            "code": self.code,
            "parameters": dict(self.parameters),
            "artefacts": list(self.artefacts),
            "fleetgate": version("fleetgate"),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A checkpoint that may be used now: state, lineage, and its id at the gate."""

    state: Any
    lineage: Lineage
    artefact: str


def save_checkpoint(path: Path, state: Any, lineage: Lineage, client: GatewayClient) -> str:
    """Write a checkpoint and register it as an artefact at the gate; returns its id there.

    It takes its name only once the gate knows it: of a file that is there, the releases' owner learns.

    Args:
        path: Where it goes; one that is there is replaced.
        state: What ``torch.load(weights_only=True)`` reads again: tensors, numbers, texts, lists and mappings.
        lineage: What it rests on.
        client: Connection to the gate.

    Raises:
        CheckpointError: It cannot be written, or the state holds what cannot be read again safely.
        RefusedError: The gate refuses: no live grant on a release, or a parent that is revoked.
        UnreachableError: It cannot be reached; nothing of the checkpoint is there.
    """
    buffer = io.BytesIO()
    torch.save({"version": _VERSION, "lineage": lineage.document(), "state": state}, buffer)
    content = buffer.getvalue()
    _loaded(path, content)
    return save_model_file(path, content, lineage, client)


def save_model_file(path: Path, content: bytes, lineage: Lineage, client: GatewayClient) -> str:
    """Write a model in a form of its own, such as an export, and register it; returns its id at the gate.

    Raises:
        CheckpointError: It cannot be written.
        RefusedError: The gate refuses: no live grant on a release, or a parent that is revoked.
        UnreachableError: It cannot be reached; nothing of the file is there.
    """
    digest = sha256(content).hexdigest()
    artefact = client.register(
        DerivedArtefact(
            kind=ArtefactKind.MODEL,
            name=path.name,
            sha256=digest,
            code=lineage.code,
            parameters={**lineage.parameters, "training_manifest": lineage.manifest},
            releases=lineage.releases,
            items=lineage.items,
            artefacts=lineage.artefacts,
        )
    )
    known = {digest: artefact}
    if path.exists() and _beside(path).exists():
        replaced = _read(path)
        known[sha256(replaced).hexdigest()] = _registered(path, replaced)
    _put(_beside(path), json.dumps(known).encode())
    _put(path, content)
    return artefact


def load_checkpoint(path: Path, client: GatewayClient) -> Checkpoint:
    """Read a checkpoint to go on from, or to use, if what it rests on still stands.

    1. The file is the one that was registered, by its digest.
    2. It holds values only, no code, and its lineage is well formed.
    3. The gate says that neither it nor a release below it was revoked.
    4. Every release may be read now.

    Raises:
        CheckpointError: Step 1 or 2 fails.
        ReleaseEndedError: Step 3 or 4 fails; it names the releases. The file is left to its owner.
        PipelineError: The gate cannot be asked.
    """
    content = _read(path)
    artefact = _registered(path, content)  # 1
    state, lineage = _loaded(path, content)  # 2
    standing = client.standing(artefact)  # 3
    if standing.revoked:
        raise ReleaseEndedError(
            f"{path.name} rests on revoked releases {sorted(standing.revoked_releases)}: not taken up"
        )
    for release in lineage.releases:  # 4
        try:
            client.confirm(release)
        except RefusedError as error:
            if error.status in ENDING_STATUSES:
                raise ReleaseEndedError(
                    f"{path.name} rests on release {release!r}, which may not be read any more: {error}"
                ) from error
            raise
    return Checkpoint(state=state, lineage=lineage, artefact=artefact)


def _registered(path: Path, content: bytes) -> str:
    """The id of the file at the gate."""
    said, digest = _read(_beside(path)), sha256(content).hexdigest()
    try:
        known = {str(each): str(artefact) for each, artefact in json.loads(said).items()}
    except (ValueError, AttributeError) as error:
        raise CheckpointError(f"{_beside(path).name}: {type(error).__name__}: {error}") from error
    if digest not in known:
        raise CheckpointError(f"{path.name} (got sha256 {digest}, expected the registered {sorted(known)})")
    return known[digest]


def _loaded(path: Path, content: bytes) -> tuple[Any, Lineage]:
    try:
        held = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
        said = held["lineage"]
        if held["version"] != _VERSION or not said["releases"]:
            raise CheckpointError(f"{path.name} (got version {held['version']!r}, expected {_VERSION})")
        lineage = Lineage(
            manifest=str(said["manifest"]),
            releases=tuple(map(str, said["releases"])),
            items=tuple(map(str, said["items"])),
            code=str(said["code"]),
            parameters=dict(said["parameters"]),
            artefacts=tuple(map(str, said["artefacts"])),
        )
    except (pickle.UnpicklingError, RuntimeError, KeyError, TypeError, ValueError, EOFError) as error:
        raise CheckpointError(f"{path.name}: {type(error).__name__}: {error}") from error
    return held["state"], lineage


def _beside(path: Path) -> Path:
    return path.with_name(path.name + _SUFFIX)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path.name}: {error.strerror}") from error


def _put(path: Path, content: bytes) -> None:
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with partial.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise CheckpointError(f"{path.name}: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)
