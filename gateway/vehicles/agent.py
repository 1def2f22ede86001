"""The agent that runs on the vehicle: announces a recording, delivers its items and repeats itself safely.

Within an item a delivery starts over; an item's ``href`` is the resource on which tus will resume it.
"""

import base64
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote

import httpx
from joserfc.jwk import OKPKey

from gateway.api.signatures import content_digest
from gateway.api.signing import SignatureAuth
from gateway.vault.intake_key import IntakePublicKey
from gateway.vault.jws import KeyForm
from gateway.vehicles.cameras import Camera
from gateway.vehicles.errors import DeliveryError
from gateway.vehicles.intake_publication import PublishedIntakeKey, read_intake_publication
from gateway.vehicles.manifest import Manifest, ManifestItem, parse_manifest, sign_manifest
from gateway.vehicles.outbox import Outbox, read_outbox, seal_recording
from gateway.vehicles.receipts import HeldBy, ItemReceipt, Receipt, read_receipt, read_refusal

RECORDINGS_PATH: Final = "/vehicles/v1/recordings"
INTAKE_KEY_PATH: Final = "/vehicles/v1/intake-key"
CHUNK_BYTES: Final = 256 * 1024

_RETRIED_STATUS: Final = frozenset({429, 502, 503, 504})
_TRANSIENT: Final = (httpx.NetworkError, httpx.TimeoutException, httpx.RemoteProtocolError)
_MAX_PAUSE_S: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """What the recording says of itself besides its files.

    Attributes:
        recording: UUID that the vehicle chose for it.
        started_at: Begin of the drive, with time zone.
        ended_at: End of the drive.
        region: Six-digit administrative code.
        crs: Coordinate reference system of its positions.
        cabin: Whether the cabin was recorded.
        audio: Whether sound was recorded.
    """

    recording: str
    started_at: datetime
    ended_at: datetime
    region: str
    crs: str
    cabin: bool = False
    audio: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A completed delivery: the gateway's id, the items sent now and those it already had.

    ``held`` says by which rules the gateway keeps the recording in quarantine for now. There is nothing to repeat:
    it has every byte, and goes on by itself once a certificate covers the drive.
    """

    recording: str
    sent: tuple[str, ...]
    skipped: tuple[str, ...]
    held: tuple[HeldBy, ...] = ()


class VehicleAgent:
    """Delivers recordings of one enrolled vehicle to one gateway."""

    def __init__(
        self,
        base_url: str,
        vehicle_id: str,
        key: OKPKey,
        client: httpx.Client | None = None,
        *,
        attempts: int = 5,
        pause_s: float = 0.5,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Bind the agent to its gateway.

        Args:
            base_url: Origin of the gateway, with scheme.
            vehicle_id: Enrolled id, which names the key.
            key: The vehicle's Ed25519 private key.
            client: Client to use and leave open; by default the agent's own, closed with it.
            attempts: How often one request is tried while the gateway is unreachable or busy.
            pause_s: Pause before the second attempt in seconds; it doubles with each, up to 30 s.
            sleep: How to pause.
        """
        self._origin = httpx.URL(base_url)
        self._vehicle_id = vehicle_id
        self._key = key
        self._auth = SignatureAuth(keyid=vehicle_id, key=key)
        self._owned = client is None
        self._client = client or httpx.Client(timeout=httpx.Timeout(30.0))
        self._attempts = attempts
        self._pause_s = pause_s
        self._sleep = sleep

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the agent's own client."""
        if self._owned:
            self._client.close()

    def build_manifest(
        self,
        sources: Mapping[str, Path],
        collection: Collection,
        captured_at: Mapping[str, datetime] | None = None,
        cameras: Sequence[Camera] = (),
    ) -> Manifest:
        """Read every file once and announce it.

        Args:
            sources: Item name to file.
            collection: What the recording says of itself.
            captured_at: Item name to time of capture, with time zone, where it is known.
            cameras: The vehicle's cameras, as ``read_cameras`` reads them from a calibration file.

        Raises:
            ManifestError: A name, time, camera or other value breaks the rules of manifests.
            OSError: A file cannot be read.
        """
        times = captured_at or {}
        items = tuple(_announce(name, path, times.get(name)) for name, path in sources.items())
        manifest = Manifest(
            vehicle=self._vehicle_id,
            recording=collection.recording,
            started_at=collection.started_at,
            ended_at=collection.ended_at,
            region=collection.region,
            crs=collection.crs,
            cabin=collection.cabin,
            audio=collection.audio,
            items=items,
            cameras=tuple(cameras),
        )
        return parse_manifest(manifest.payload())

    def deliver(self, manifest: Manifest, sources: Mapping[str, Path]) -> Delivery:
        """Announce the recording, send what the gateway lacks and confirm that it has everything.

        Repeating a delivery is harmless: the gateway knows the recording by its UUID, and items that it
        acknowledged are skipped.

        Raises:
            DeliveryError: The gateway refuses or cannot be reached, or a file is not the announced one.
            ManifestError: The manifest breaks the rules of manifests.
            OSError: A file cannot be read.
        """
        receipt = self.announce(manifest)
        sent: list[str] = []
        for item, place in zip(manifest.items, receipt.items, strict=True):
            if not place.received:
                self._send_item(item, place, sources[item.name])
                sent.append(item.name)
        return self._confirmed(receipt, sent)

    def intake_key(self, release_key: KeyForm, *, known: int = 0) -> PublishedIntakeKey:
        """Fetch the key to seal to from now on; keep its generation, to state as ``known`` the next time.

        Args:
            release_key: The gate's release key, pinned when the vehicle was provisioned.
            known: The highest generation that this vehicle saw; 0 for none.

        Raises:
            DeliveryError: The gateway refuses or cannot be reached.
            StatementError: What it answers is not signed by the release key, or is of an earlier generation.
            KeyUnavailableError: The key that it states is none.
        """
        url = self._url(INTAKE_KEY_PATH)
        answer = self._send(lambda: self._client.build_request("GET", url))
        return read_intake_publication(answer.text.strip(), release_key, known=known)

    def seal(
        self, manifest: Manifest, sources: Mapping[str, Path], folder: Path, gate: IntakePublicKey
    ) -> Outbox:
        """Seal a recording to the gate into a new folder, to deliver it from there or to carry it on a disk.

        Args:
            manifest: As :meth:`build_manifest` makes it.
            sources: Item name to file.
            folder: Does not exist.
            gate: The gate's intake key, as :meth:`intake_key` fetches it, or from its operator.

        Raises:
            DeliveryError: A file is not the announced one.
            StorageError: The disk refused; the folder is not complete.
            OSError: A file cannot be read, or the folder exists.
        """
        return seal_recording(manifest, sources, folder, key=self._key, gate=gate)

    def deliver_sealed(self, folder: Path) -> Delivery:
        """Deliver what :meth:`seal` left in a folder, names and content unseen by whoever carries it on.

        Repeating it is harmless, also after a restart; items are named by their position.

        Raises:
            DeliveryError: The gateway refuses or cannot be reached, or the folder is not complete.
            OSError: A file cannot be read.
        """
        outbox = read_outbox(folder)
        sealed = base64.b64encode(outbox.sealed_manifest()).decode("ascii")
        receipt = self._announce({"sealed_manifest": sealed})
        if (receipt.recording, len(receipt.items)) != (outbox.recording, len(outbox.items)):
            raise DeliveryError("unexpected_answer", "another recording than the one announced")
        sent: list[str] = []
        for position, (item, place) in enumerate(zip(outbox.items, receipt.items, strict=True)):
            if not place.received:
                path = outbox.path(position)
                announced = ManifestItem(
                    name=path.name, size=item.length, sha256=item.sha256, captured_at=None
                )
                self._send_item(announced, place, path)
                sent.append(place.name)
        return self._confirmed(receipt, sent)

    def announce(self, manifest: Manifest) -> Receipt:
        """Deliver the signed manifest; the gateway answers where each item goes.

        Raises:
            DeliveryError: The gateway refuses, cannot be reached or answers for other items.
        """
        receipt = self._announce({"manifest": sign_manifest(manifest, self._key)})
        announced = [item.name for item in manifest.items]
        if [item.name for item in receipt.items] != announced:
            raise DeliveryError(
                "unexpected_answer", f"{len(receipt.items)} items that are not those announced"
            )
        return receipt

    def _announce(self, document: Mapping[str, str]) -> Receipt:
        body = httpx.Request("POST", self._origin, json=document).content
        headers = {
            "Content-Type": "application/json",
            "Content-Digest": content_digest(sha256(body).digest()),
        }
        response = self._send(
            lambda: self._client.build_request(
                "POST", self._url(RECORDINGS_PATH), content=body, headers=headers
            )
        )
        return read_receipt(response)

    def _confirmed(self, receipt: Receipt, sent: Sequence[str]) -> Delivery:
        stands = self.status(receipt.recording)
        missing = [item.name for item in stands.items if not item.received]
        if missing:
            raise DeliveryError(
                "delivery_incomplete",
                f"items (got {len(receipt.items) - len(missing)}, missing {missing[:3]})",
            )
        skipped = tuple(item.name for item in receipt.items if item.received)
        return Delivery(recording=receipt.recording, sent=tuple(sent), skipped=skipped, held=stands.held)

    def status(self, recording: str) -> Receipt:
        """Ask where the gateway stands with a recording.

        Raises:
            DeliveryError: The gateway refuses or cannot be reached.
        """
        url = self._url(f"{RECORDINGS_PATH}/{quote(recording, safe='')}")
        return read_receipt(self._send(lambda: self._client.build_request("GET", url)))

    def _send_item(self, item: ManifestItem, place: ItemReceipt, path: Path) -> None:
        url = self._url(place.href)
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(item.size),
            "Content-Digest": content_digest(bytes.fromhex(item.sha256)),
        }
        self._send(
            lambda: self._client.build_request(
                "PUT", url, content=_announced_bytes(item, path), headers=headers
            )
        )

    def _url(self, href: str) -> httpx.URL:
        url = self._origin.join(href)
        if (url.scheme, url.netloc) != (self._origin.scheme, self._origin.netloc):
            raise DeliveryError("unexpected_answer", f"href (got {href!r}, expected one of {self._origin})")
        return url

    def _send(self, build: Callable[[], httpx.Request]) -> httpx.Response:
        failure = DeliveryError("unreachable", f"no attempt was made (got {self._attempts} attempts)")
        for attempt in range(self._attempts):
            if attempt:
                pause = min(self._pause_s * 2 ** (attempt - 1), _MAX_PAUSE_S)
                self._sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, no secret
            try:
                response = self._client.send(build(), auth=self._auth, follow_redirects=False)
            except _TRANSIENT as error:
                failure = DeliveryError("unreachable", f"{type(error).__name__}: {error}")
                continue
            if response.is_success:
                return response
            failure = read_refusal(response)
            if response.status_code not in _RETRIED_STATUS:
                break
        raise failure


def _announce(name: str, path: Path, captured_at: datetime | None) -> ManifestItem:
    digest, size = sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
    return ManifestItem(name=name, size=size, sha256=digest.hexdigest(), captured_at=captured_at)


def _announced_bytes(item: ManifestItem, path: Path) -> Iterator[bytes]:
    digest, left = sha256(), item.size
    with path.open("rb") as file:
        while left and (chunk := file.read(min(CHUNK_BYTES, left))):
            digest.update(chunk)
            left -= len(chunk)
            yield chunk
        longer = bool(file.read(1))
    if left or longer or digest.hexdigest() != item.sha256:
        raise DeliveryError("source_changed", f"{item.name!r} is no longer what the manifest announces")
