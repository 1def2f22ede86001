"""A vehicle that seals what it drove, and a disk that carries it."""

from collections.abc import Mapping
from pathlib import Path

from joserfc.jwk import OKPKey

from gateway.flow.gate import Gate
from gateway.vault.intake_key import IntakeKey, IntakePublicKey
from gateway.vehicles.outbox import Outbox, seal_recording
from simulators import manifest_of


def written(folder: Path, files: Mapping[str, bytes]) -> dict[str, Path]:
    """The files as the vehicle recorded them."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return {name: folder / name for name in files}


def intake_key_of(gate: Gate) -> IntakePublicKey:
    """The gate's public key, by way of the text that its operator hands on."""
    return IntakePublicKey.parse(IntakeKey(gate.keystore).public.text())


def sealed_by_vehicle(
    place: Path, files: Mapping[str, bytes], key: OKPKey, gate: IntakePublicKey, **more: object
) -> Outbox:
    """A sealed recording in ``place/outbox``; the vehicle's own files lie in ``place/vehicle``."""
    manifest = manifest_of(files, **more)  # type: ignore[arg-type]
    return seal_recording(manifest, written(place / "vehicle", files), place / "outbox", key=key, gate=gate)
