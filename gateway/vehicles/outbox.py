"""A recording as the vehicle sealed it: a folder of sealed files to send or to put on a carrier.

``manifest.sealed`` holds the signed manifest, sealed to the gate; ``<position>.sealed`` one item each;
``outbox.json``, what a sender needs: recording, lengths and digests of the sealed files. None tells of content.
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from joserfc.jwk import OKPKey

from gateway.vault.durable import pending_file, sync_directory, write_once
from gateway.vault.errors import SealBrokenError
from gateway.vault.intake_key import IntakeKey, IntakePublicKey, item_dek
from gateway.vault.sealed import seal_stream
from gateway.vault.suites import Suite, suite_by_name
from gateway.vehicles.errors import DeliveryError, SealedDeliveryError
from gateway.vehicles.manifest import Manifest, ManifestItem, sign_manifest
from gateway.vehicles.sealing import (
    SECRET_LENGTH,
    SealedContext,
    SealedItem,
    Sealing,
    manifest_info,
    secret_info,
)

MANIFEST_NAME: Final = "manifest.sealed"
_OUTBOX_NAME: Final = "outbox.json"
_CHUNK: Final = 256 * 1024
_VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbox:
    """A sealed recording on disk.

    Attributes:
        folder: Where it lies.
        recording: UUID that the vehicle chose for it.
        items: Its sealed files, by position.
    """

    folder: Path
    recording: str
    items: tuple[SealedItem, ...]

    def sealed_manifest(self) -> bytes:
        """The signed manifest, sealed to the gate.

        Raises:
            OSError: It cannot be read.
        """
        return (self.folder / MANIFEST_NAME).read_bytes()

    def path(self, position: int) -> Path:
        """The sealed file of an item."""
        return item_path(self.folder, position)


def item_path(folder: Path, position: int) -> Path:
    """Where a folder keeps the sealed file of an item."""
    return folder / f"{position:06d}.sealed"


def seal_recording(
    manifest: Manifest,
    sources: Mapping[str, Path],
    folder: Path,
    *,
    key: OKPKey,
    gate: IntakePublicKey,
    suite: Suite | None = None,
) -> Outbox:
    """Seal a recording into a new folder; complete and durable on return, no plaintext is written.

    The secret that every item's key comes from is in memory only: who holds the folder, the vehicle included,
    cannot open it.

    Args:
        manifest: As ``VehicleAgent.build_manifest`` makes it; not sealed yet.
        sources: Item name to file.
        folder: Does not exist.
        key: The vehicle's Ed25519 private key.
        gate: The gate's intake key, from its operator.
        suite: Cipher of the sealed files; AES-256-GCM unless given.

    Raises:
        DeliveryError: A file is not the announced one.
        FileExistsError: The folder exists.
        StorageError: The disk refused.
        OSError: A file cannot be read.
    """
    suite = suite or suite_by_name("aes256gcm-sha256-ed25519")
    folder.mkdir(mode=0o700)
    secret = os.urandom(SECRET_LENGTH)
    items = tuple(
        _seal_item(
            sources[item.name], context_of(manifest, i), secret, item_path(folder, i), item=item, suite=suite
        )
        for i, item in enumerate(manifest.items)
    )
    info = secret_info(gate.kid, manifest.vehicle, manifest.recording)
    sealing = Sealing(key=gate.kid, secret=gate.seal(secret, info), items=items)
    statement = sign_manifest(replace(manifest, sealing=sealing), key)
    write_once(folder / MANIFEST_NAME, gate.seal(statement.encode("ascii"), manifest_info(gate.kid)))
    outbox = {
        "version": _VERSION,
        "recording": manifest.recording,
        "items": [{"length": each.length, "sha256": each.sha256} for each in items],
    }
    # Written last: a folder without it is not complete.
    write_once(folder / _OUTBOX_NAME, json.dumps(outbox, sort_keys=True).encode("ascii"))
    sync_directory(folder.parent)
    return Outbox(folder=folder, recording=manifest.recording, items=items)


def read_outbox(folder: Path) -> Outbox:
    """A folder that ``seal_recording`` completed.

    Raises:
        DeliveryError: It was not completed, or what it says is malformed.
    """
    try:
        document: Any = json.loads((folder / _OUTBOX_NAME).read_text("ascii"))
        if document["version"] != _VERSION:
            raise ValueError(f"version (got {document['version']!r}, expected {_VERSION})")
        items = tuple(
            SealedItem(length=int(item["length"]), sha256=str(item["sha256"])) for item in document["items"]
        )
        return Outbox(folder=folder, recording=str(document["recording"]), items=items)
    except FileNotFoundError as error:
        raise DeliveryError("outbox_incomplete", f"no {_OUTBOX_NAME} in {folder.name!r}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DeliveryError("outbox_malformed", f"{type(error).__name__}: {error}") from error


def open_manifest(sealed: bytes, *keys: IntakeKey, destroyed: Mapping[str, datetime] | None = None) -> str:
    """The signed statement in a sealed manifest; whose it is, its signature must show.

    Args:
        sealed: As it arrived; it does not say which key it is sealed to.
        keys: The intake keys that still open.
        destroyed: When those that never will again were destroyed, by thumbprint.

    Raises:
        SealedDeliveryError: It is sealed to none of them.
    """
    refused = []
    for key in keys:
        try:
            return key.open(sealed, manifest_info(key.public.kid)).decode("ascii")
        except (SealBrokenError, UnicodeDecodeError) as error:
            refused.append(str(error))
    refused += [
        f"nothing opens what is sealed to {kid}, destroyed after its grace at {time.isoformat()}"
        for kid, time in (destroyed or {}).items()
    ]
    raise SealedDeliveryError(f"sealed manifest: {'; '.join(refused)}")


def context_of(manifest: Manifest, position: int) -> SealedContext:
    """What an item of a manifest is."""
    item = manifest.items[position]
    return SealedContext(
        vehicle=manifest.vehicle,
        recording=manifest.recording,
        position=position,
        name=item.name,
        size=item.size,
        sha256=item.sha256,
    )


def _seal_item(
    source: Path, context: SealedContext, secret: bytes, path: Path, *, item: ManifestItem, suite: Suite
) -> SealedItem:
    bound, digest = context.canonical(), sha256()

    def write(piece: bytes) -> None:
        digest.update(piece)
        pending.write(piece)

    with pending_file(path) as pending:
        summary = seal_stream(
            _read(source), dek=item_dek(secret, bound), context=bound, suite=suite, write=write
        )
        if (summary.plaintext_length, summary.plaintext_sha256.hex()) != (item.size, item.sha256):
            raise DeliveryError("source_changed", f"{item.name!r} is no longer what the manifest announces")
        pending.sync()
        pending.publish()
    return SealedItem(length=summary.sealed_length, sha256=digest.hexdigest())


def _read(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk
