"""What a release offers to its readers: its signed manifest, verified once for as long as it stays the same."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from gateway.database import ReadSession, WriteSession
from gateway.errors import EvidenceError, NotFoundError
from gateway.flow.gate import Gate
from gateway.flow.recording import Released, ReleaseState
from gateway.flow.records import ReleaseRow
from gateway.flow.release import load_released
from gateway.vault.jws import read_unverified_algorithm, thumbprint


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedFile:
    """One file that can be read: an item, or the mask beside one.

    Attributes:
        item: Name of the item that it is or lies beside.
        mask: Whether it is a mask.
        media_type: What it is.
        size: Bytes.
        sha256: Digest of its content, hexadecimal.
    """

    item: str
    mask: bool
    media_type: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What a verified manifest says; nothing of it can be changed.

    Attributes:
        release: Id of the release.
        digest: The digest that people signed.
        purpose: What it may be read for.
        recipient: Whose members may read it.
        destination_zone: Where it may be read; a manifest from before zones were stated is bound to the narrowest.
        expires_at: Until when, RFC 3339.
        files: Every file by its name.
        signer: Algorithm and thumbprint of the key that the manifest verified under.
    """

    release: str
    digest: str
    purpose: str
    recipient: str
    destination_zone: str
    expires_at: str
    files: Mapping[str, OfferedFile] = field(repr=False)
    signer: tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """An offer as it stands now: with its manifest as a compact JWS, and whether it was revoked."""

    offer: Offer
    manifest_jws: str = field(repr=False)
    revoked: bool

    @property
    def release(self) -> str:
        """Id of the release."""
        return self.offer.release


def load_offered(gate: Gate, session: ReadSession | WriteSession, release_id: str) -> Offered:
    """What a release offers, as :func:`gateway.flow.release.load_released` verifies it.

    A manifest is verified anew unless it is, byte for byte, one that this process verified under the release key
    that the gate has now. Each time:

    1. The release went out, and the manifest that is stored now is compared with the one that was verified.
    2. The key is compared with the one that it was verified under.
    3. The digest on record is the manifest's.
    4. Whether the release was revoked is read anew.

    Raises:
        NotFoundError: There is no such release, or it has not gone out.
        EvidenceError: The manifest does not verify, or is for another release or digest.
    """
    row = session.get(ReleaseRow, release_id)
    if row is None or row.manifest_jws is None:  # step 1
        raise NotFoundError(f"no such release (got {release_id!r})")
    offer = gate.offers.find(release_id, row.manifest_jws)
    if offer is None or offer.signer != _signer(gate, offer.signer[0]):  # step 2
        released = load_released(gate, session, release_id)
        algorithm = read_unverified_algorithm(released.manifest_jws)
        offer = gate.offers.keep(
            release_id, released.manifest_jws, _offer_of(released, _signer(gate, algorithm))
        )
    if (offer.release, offer.digest) != (release_id, row.digest):  # step 3
        raise EvidenceError(f"manifest of release {release_id} is for another release or digest")
    return Offered(
        offer=offer,
        manifest_jws=row.manifest_jws,
        revoked=row.state == ReleaseState.REVOKED,  # step 4
    )


def _signer(gate: Gate, algorithm: str) -> tuple[str, str]:
    return algorithm, thumbprint(gate.keystore.verifying_key("release", algorithm))


def _offer_of(released: Released, signer: tuple[str, str]) -> Offer:
    manifest = released.manifest
    files: dict[str, OfferedFile] = {}
    for name, file in _files(manifest["items"]):
        files.setdefault(name, file)
    return Offer(
        release=str(manifest["release"]),
        digest=str(manifest["digest"]),
        purpose=str(manifest["purpose"]),
        recipient=str(manifest["recipient"]),
        destination_zone=str(manifest.get("destination_zone", "in_zone")),
        expires_at=str(manifest["expires_at"]),
        files=MappingProxyType(files),
        signer=signer,
    )


def _files(items: list[Mapping[str, Any]]) -> Iterator[tuple[str, OfferedFile]]:
    for item in items:
        for entry, mask in ((item, False), (item.get("mask"), True)):
            if entry is not None:
                yield (
                    entry["name"],
                    OfferedFile(
                        item=item["name"],
                        mask=mask,
                        media_type=entry["media_type"],
                        size=entry["size"],
                        sha256=entry["sha256"],
                    ),
                )
