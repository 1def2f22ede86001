"""The vault: seals streams into blobs, signs what it sealed, opens them again (laws 3, 4, 6 and 9)."""

import base64
import hashlib
import hmac
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, Self

import rfc8785

from gateway.vault.blobs import Blobs
from gateway.vault.container import DEK_LENGTH, Octets
from gateway.vault.errors import BlobMissingError, SealBrokenError, StatementError
from gateway.vault.jws import read_unverified_algorithm, sign_statement, thumbprint, verify_statement
from gateway.vault.keys import Keystore
from gateway.vault.sealed import SealedReader, seal_stream
from gateway.vault.suites import SM2SM3, suite_by_name

MANIFEST_TYPE: Final = "fleetgate-sealed-object+json"
_VERSION: Final = 1
_SEAL: Final = "seal"
_SCRUB_LENGTH: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a sealed object is; opening must name the same.

    Attributes:
        owner: Recording or release that it belongs to.
        object: Id of the object within its owner.
        role: What the object is to its owner, such as ``original`` or ``cleansed``.
    """

    owner: str
    object: str
    role: str

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if not isinstance(value, str) or not value:
                raise ValueError(f"context of a sealed object: {each.name} (got {value!r}, expected text)")

    def as_dict(self) -> dict[str, str]:
        """JSON-ready form."""
        return {"object": self.object, "owner": self.owner, "role": self.role}

    def canonical(self) -> bytes:
        """RFC 8785 bytes, which keys are bound to."""
        return rfc8785.dumps({**self.as_dict(), "version": _VERSION})


@dataclass(frozen=True, slots=True, kw_only=True)
class SealManifest:
    """What the signed manifest of a sealed object says; no plain digest of content among it.

    Attributes:
        blob_id: Blob that holds the sealed file.
        suite: Name of the cipher suite, whose signature the manifest bears.
        kek_id: Key encryption key.
        wrapped_dek: Data encryption key under it, base64.
        context: What the object is.
        plaintext_length: In bytes.
        sealed_length: In bytes.
        sealed_digest: Hex digest of the sealed file by the suite's hash; the manifest's member is named after it:
            ``sealed_sha256`` or ``sealed_sm3``.
        content_digest: Hex HMAC-SHA256 of the plaintext's SHA-256 under the gate's digest secret.
    """

    blob_id: str
    suite: str
    kek_id: str
    wrapped_dek: str
    context: Context
    plaintext_length: int
    sealed_length: int
    sealed_digest: str
    content_digest: str

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form of what is signed."""
        plain = {each.name: getattr(self, each.name) for each in fields(SealManifest)}
        plain[_digest_member(self.suite)] = plain.pop("sealed_digest")
        return {**plain, "context": self.context.as_dict(), "version": _VERSION}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Undo :meth:`as_dict`.

        Raises:
            SealBrokenError: A field is missing, unknown or of the wrong type, or the suite is unknown.
        """
        values = dict(document)
        if values.pop("version", None) != _VERSION:
            raise SealBrokenError(f"manifest version (got {document.get('version')!r}, expected {_VERSION})")
        try:
            values["sealed_digest"] = values.pop(_digest_member(values["suite"]))
            sealed = cls(**{**values, "context": Context(**values["context"])})
        except (KeyError, TypeError, ValueError) as error:
            raise SealBrokenError(f"manifest is malformed: {error}") from error
        for each in fields(cls):
            value = getattr(sealed, each.name)
            if type(value) is not each.type or (each.type is int and value < 0):
                raise SealBrokenError(f"manifest field {each.name} (got {value!r}, expected {each.type})")
        return sealed


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedObject(SealManifest):
    """A sealed object as sealing returns it.

    Attributes:
        manifest_jws: The manifest, signed (compact JWS), as it also stands beside the blob.
        plaintext_sha256: Hex digest of the content, to compare with what was announced; never stored in the
            clear, and no part of the manifest.
    """

    manifest_jws: str
    plaintext_sha256: str = field(repr=False)


class Vault:
    """Sealed objects over a blob store and a keystore.

    Args:
        blobs: Where sealed files lie.
        keystore: Keys, among them the signing key ``seal`` and the secret ``content-digest``. Its suite is the one
            that is sealed in; objects of every suite open.
    """

    def __init__(self, blobs: Blobs, keystore: Keystore) -> None:
        self._blobs = blobs
        self._keystore = keystore

    def seal(self, chunks: Iterable[Octets], *, kek_id: str, context: Context) -> SealedObject:
        """Seal a stream into a blob of a fresh random id; durable with its manifest on return (law 4).

        Args:
            chunks: Plaintext in pieces; an error in it leaves nothing behind.
            kek_id: Key encryption key, which exists.
            context: What the object is.

        Raises:
            KeyUnavailableError: There is no such key encryption key.
            KeyDestroyedError: It was destroyed.
            StorageError: The operating system failed; nothing is acknowledged.
        """
        suite = self._keystore.suite
        blob_id, dek = os.urandom(16).hex(), os.urandom(DEK_LENGTH)
        bound = context.canonical()
        wrapped = self._keystore.wrap_dek(kek_id, dek, bound)
        with self._blobs.create(blob_id) as writer:
            summary = seal_stream(chunks, dek=dek, context=bound, suite=suite, write=writer.write)
            described = SealManifest(
                blob_id=blob_id,
                suite=suite.name,
                kek_id=kek_id,
                wrapped_dek=base64.b64encode(wrapped).decode(),
                context=context,
                plaintext_length=summary.plaintext_length,
                sealed_length=summary.sealed_length,
                sealed_digest=summary.sealed_digest.hex(),
                content_digest=self.content_digest(summary.plaintext_sha256),
            )
            manifest = self._signed(described)
            writer.manifest = manifest.encode("ascii")
        return SealedObject(
            **{each.name: getattr(described, each.name) for each in fields(described)},
            manifest_jws=manifest,
            plaintext_sha256=summary.plaintext_sha256.hex(),
        )

    def verified(self, manifest: str) -> SealManifest:
        """The object that a manifest of this gate describes.

        1. The signature is by this gate's key of the algorithm that the manifest names.
        2. The payload is well-formed.
        3. That algorithm is the one of the suite.

        Raises:
            SealBrokenError: A step failed.
        """
        try:
            algorithm = read_unverified_algorithm(manifest)  # 1
            payload = verify_statement(
                manifest, MANIFEST_TYPE, self._keystore.verifying_key(_SEAL, algorithm)
            )
        except StatementError as error:
            raise SealBrokenError(f"manifest of a sealed object: {error.reason}") from error
        sealed = SealManifest.from_dict(payload)  # 2
        expected = suite_by_name(sealed.suite).signature  # 3
        if algorithm != expected:
            raise SealBrokenError(
                f"signature of a manifest of suite '{sealed.suite}' (got {algorithm}, expected {expected})"
            )
        return sealed

    def open(self, manifest: str, context: Context) -> SealedReader:
        """Open a sealed object.

        1. The manifest is signed by this gate.
        2. It describes the object that is asked for.
        3. The stored blob has the signed length.
        4. The key encryption key lives and unwraps the object's key for this context.
        5. The blob's header commits to that key and context, its suite and length are those signed.

        Each segment is authenticated when it is read.

        Raises:
            SealBrokenError: Step 1, 2, 3 or 5 failed, or the key was wrapped for something else.
            BlobMissingError: The blob is gone.
            KeyUnavailableError: The key encryption key is not here.
            KeyDestroyedError: It was destroyed.
            StorageError: The blob could not be read.
        """
        sealed = self.verified(manifest)  # 1
        if sealed.context != context:  # 2
            raise SealBrokenError(f"sealed object (got {sealed.context}, expected {context})")
        self._check_length(sealed)  # 3
        bound = context.canonical()
        wrapped = base64.b64decode(sealed.wrapped_dek)
        dek = self._keystore.unwrap_dek(sealed.kek_id, wrapped, bound)  # 4
        reader = SealedReader(  # 5
            lambda offset, length: self._blobs.read_at(sealed.blob_id, offset, length),
            sealed_length=sealed.sealed_length,
            dek=dek,
            context=bound,
            expected_plaintext_length=sealed.plaintext_length,
        )
        if reader.suite is not suite_by_name(sealed.suite):
            raise SealBrokenError(
                f"suite of the sealed file (got '{reader.suite.name}', expected '{sealed.suite}')"
            )
        return reader

    def read_all(self, manifest: str, context: Context) -> bytes:
        """The whole plaintext; errors as for :meth:`open`, also for any segment that is not as sealed."""
        return self.open(manifest, context).read()

    def scrub(self, manifest: str) -> SealManifest:
        """Compare a stored blob with its signed digest, without any key to its content.

        Raises:
            SealBrokenError: Manifest or blob is not what was sealed.
            BlobMissingError: The blob is gone.
            StorageError: It could not be read.
        """
        sealed = self.verified(manifest)
        self._check_length(sealed)
        digest = suite_by_name(sealed.suite).digest()
        for offset in range(0, sealed.sealed_length, _SCRUB_LENGTH):
            digest.update(self._blobs.read_at(sealed.blob_id, offset, _SCRUB_LENGTH))
        if not hmac.compare_digest(digest.digest().hex(), sealed.sealed_digest):
            raise SealBrokenError(f"blob {sealed.blob_id} is not the one that was sealed (digest differs)")
        return sealed

    def manifest(self, blob_id: str) -> str:
        """The manifest that stands beside a blob, to recover what a database lost; verified.

        Raises:
            BlobMissingError: There is none.
            SealBrokenError: It is not this gate's, or it describes another blob.
        """
        manifest = self._blobs.manifest(blob_id).decode("ascii", errors="replace")
        described = self.verified(manifest).blob_id
        if described != blob_id:
            raise SealBrokenError(f"manifest beside blob {blob_id} describes another (got {described})")
        return manifest

    def content_digest(self, plaintext_sha256: bytes) -> str:
        """The keyed digest that stands for content in database and ledger, the same in every suite.

        Args:
            plaintext_sha256: The 32 digest bytes of the content.
        """
        secret = self._keystore.secret("content-digest")
        return hmac.new(secret, plaintext_sha256, hashlib.sha256).hexdigest()

    def delete(self, blob_id: str, *, missing_ok: bool = False) -> None:
        """Remove a blob and its manifest durably.

        Args:
            blob_id: The blob.
            missing_ok: A blob that is gone is no error, so that a repeated erasure succeeds.

        Raises:
            BlobMissingError: The blob is gone.
            StorageError: It may still be there.
        """
        try:
            self._blobs.delete(blob_id)
        except BlobMissingError:
            if not missing_ok:
                raise

    def orphans(self, referenced: Collection[str]) -> frozenset[str]:
        """Blobs that a crash left before the database knew them.

        Args:
            referenced: Every blob id that the database names. An object is not referenced until its seal is
                recorded: call this while nothing is being sealed.
        """
        return self._blobs.ids() - frozenset(referenced)

    def _signed(self, described: SealManifest) -> str:
        key = (
            self._keystore.sm2_key(_SEAL)
            if suite_by_name(described.suite).signature == SM2SM3
            else self._keystore.signing_key(_SEAL)
        )
        return sign_statement(key, MANIFEST_TYPE, thumbprint(key), described.as_dict())

    def _check_length(self, sealed: SealManifest) -> None:
        stored = self._blobs.length(sealed.blob_id)
        if stored != sealed.sealed_length:
            raise SealBrokenError(
                f"length of blob {sealed.blob_id} (got {stored}, expected {sealed.sealed_length} bytes)"
            )


def _digest_member(suite: str) -> str:
    return f"sealed_{suite_by_name(suite).digest_name}"
