"""Checkpoints that say what they rest on, and are taken up again only while that still stands.

A checkpoint is one file of torch: the state, and its lineage. Beside it lies ``NAME.artefact.json``: the id under
which the gate knows the file, by its digest; also of the file that it replaced, so that a break in between loses
neither. Weights in place are not sealed; what a model remembers of its samples lies in them. Those that the gate
does not know are sealed, until it does.
"""

import io
import json
import pickle
import time
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import httpx
import torch

from pipeline.artefacts import ArtefactKind, DerivedArtefact
from pipeline.client import GatewayClient
from pipeline.errors import RefusedError, UnregisteredError
from pipeline.publishing import BESIDE, held_in, publish, publish_held
from pipeline.sealed_cache import ENDING_STATUSES
from pipeline.training.errors import CheckpointError, ReleaseEndedError
from pipeline.training.training_manifest import TrainingManifest

_VERSION: Final = 1
_LATER: Final = frozenset({httpx.codes.REQUEST_TIMEOUT, httpx.codes.TOO_MANY_REQUESTS})
_PATIENT_S: Final = 600.0
_ASK_AGAIN_S: Final = 0.2


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

    It takes its name only once the gate knows it: of a file that is there, the releases' owner learns. Where the
    gate does not register it, it lies beside, sealed, for ``register_held``: no epoch is lost.

    Args:
        path: Where it goes; one that is there is replaced.
        state: What ``torch.load(weights_only=True)`` reads again: tensors, numbers, texts, lists and mappings.
        lineage: What it rests on.
        client: Connection to the gate.

    Raises:
        CheckpointError: The state holds what cannot be read again safely.
        ReleaseEndedError: The gate refuses: no live grant on a release, or a parent that is revoked; it is kept
            sealed.
        UnregisteredError: The gate cannot be reached or answers otherwise; it is kept sealed.
        PublishingError: It cannot be written.
    """
    buffer = io.BytesIO()
    torch.save({"version": _VERSION, "lineage": lineage.document(), "state": state}, buffer)
    content = buffer.getvalue()
    _loaded(path, content)
    return save_model_file(path, content, lineage, client)


def save_model_file(path: Path, content: bytes, lineage: Lineage, client: GatewayClient) -> str:
    """Write a model in a form of its own, such as an export, and register it; returns its id at the gate.

    Raises:
        ReleaseEndedError, UnregisteredError, PublishingError: As ``save_checkpoint``.
    """
    artefact = DerivedArtefact(
        kind=ArtefactKind.MODEL,
        name=path.name,
        sha256=sha256(content).hexdigest(),
        code=lineage.code,
        parameters={**lineage.parameters, "training_manifest": lineage.manifest},
        releases=lineage.releases,
        items=lineage.items,
        artefacts=lineage.artefacts,
    )
    try:
        return publish(path, content, artefact, client)
    except UnregisteredError as error:
        if isinstance(error.__cause__, RefusedError) and _over(error.__cause__, lineage, client):
            raise ReleaseEndedError(str(error)) from error
        raise


def _over(refusal: RefusedError, lineage: Lineage, client: GatewayClient) -> bool:
    """Whether the gate refused for good: a grant ended, or a release below the checkpoint was revoked."""
    if refusal.status in ENDING_STATUSES:
        return True
    answered = httpx.codes.is_client_error(refusal.status) and refusal.status not in _LATER
    return answered and any(client.standing(each).revoked for each in lineage.artefacts)


def register_held(folder: Path, client: GatewayClient, *, rank: int = 0) -> None:
    """Register checkpoints that an earlier start of a run kept sealed, and put them in place.

    Args:
        folder: Where the run's checkpoints lie.
        client: Connection to the gate.
        rank: Which process of the run; all but the first wait until the first one is done.

    Raises:
        ReleaseEndedError: The gate refuses one; it stays sealed.
        UnreachableError: It cannot be reached; they stay sealed.
        CheckpointError: The first rank is not done within ten minutes.
        PipelineError: As ``publish_held``.
    """
    ends = time.monotonic() + _PATIENT_S
    while rank != 0 and held_in(folder):
        if time.monotonic() > ends:
            raise CheckpointError(
                f"{folder}: the first rank did not register what is kept sealed within {_PATIENT_S:g} s"
            )
        time.sleep(_ASK_AGAIN_S)
    for held in held_in(folder):
        try:
            publish_held(held, client)
        except RefusedError as error:
            if error.status not in ENDING_STATUSES:
                raise
            raise ReleaseEndedError(
                f"{held.name} rests on what may not be read any more, and stays sealed: {error}"
            ) from error


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
    return path.with_name(path.name + BESIDE)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path.name}: {error.strerror}") from error
