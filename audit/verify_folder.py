"""What signed folders have in common, for the verifiers of dossiers and of reports; copied beside ``verify.py``.

A signed folder holds a compact JWS over the digests of its files, a JSON document with a checkpoint and proved
entries of the ledger, and a receipt: proof that the ledger records the folder.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

try:
    from audit import verify
    from audit.verify_sm2 import verify_sm2
except ImportError:  # copied elsewhere, beside verify.py
    import verify  # type: ignore[import-not-found, no-redef]
    from verify_sm2 import verify_sm2  # type: ignore[import-not-found, no-redef]

_KEYS = {("OKP", "Ed25519"): ("Ed25519", ("x",)), ("EC", "SM2"): ("SM2SM3", ("x", "y"))}


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """A public key: 32 bytes of Ed25519, or 65 of SM2, with the ``alg`` of its signatures."""

    algorithm: str
    content: bytes

    def check(self, signature: bytes, message: bytes, what: str) -> None:
        """Refuse a signature that does not verify; ``what`` is what it is of."""
        if self.algorithm == "Ed25519":
            verify.check_signature(self.content, signature, message, what)
            return
        try:
            verify_sm2(self.content, signature, message)
        except ValueError as exc:
            raise verify.BadExportError(f"signature of {what} does not verify under the given key") from exc


def public_of(stated: str) -> PublicKey:
    """A public key as JWK, or the base64url of the bytes of an Ed25519 one.

    Raises:
        BadKeyError: if it is none.
    """
    jwk: dict[str, Any] = {"kty": "OKP", "crv": "Ed25519", "x": stated.strip()}
    try:
        if stated.lstrip().startswith("{"):
            jwk = json.loads(stated)
        algorithm, names = _KEYS[jwk["kty"], jwk["crv"]]
        parts = [_url_decoded(str(jwk[name])) for name in names]
    except (KeyError, TypeError, ValueError, verify.BadExportError) as exc:
        raise verify.BadKeyError(f"no Ed25519 or SM2 public key ({exc!r})") from exc
    if any(len(part) != 32 for part in parts):  # noqa: PLR2004 - a coordinate of either curve
        raise verify.BadKeyError(f"key has the wrong length (got {[len(part) for part in parts]} bytes)")
    return PublicKey(algorithm=algorithm, content=(b"\x04" if len(parts) > 1 else b"") + b"".join(parts))


def _url_decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as exc:
        raise verify.BadExportError(f"no base64url (got {text[:40]!r})") from exc


def read(folder: Path, name: str) -> bytes:
    """A file of the folder.

    Raises:
        BadExportError: if it cannot be read.
    """
    try:
        return (folder / name).read_bytes()
    except OSError as exc:
        raise verify.BadExportError(f"{name} cannot be read: {exc.strerror}") from exc


def statement_of(statement: str, kind: str, public: PublicKey) -> dict[str, Any]:
    """The payload of a compact JWS of a kind, signed by a key.

    Raises:
        BadExportError: if it is of another kind or the signature does not verify.
    """
    parts = statement.strip().split(".")
    if len(parts) != 3:  # noqa: PLR2004 - header, payload, signature
        raise verify.BadExportError(f"{kind} is no compact JWS")
    header = json.loads(_url_decoded(parts[0]))
    if (header.get("alg"), header.get("typ")) != (public.algorithm, kind):
        raise verify.BadExportError(
            f"statement is of another kind (got {header.get('alg')} {header.get('typ')}, expected {kind})"
        )
    public.check(_url_decoded(parts[2]), f"{parts[0]}.{parts[1]}".encode(), kind)
    payload = json.loads(_url_decoded(parts[1]))
    if not isinstance(payload, dict):
        raise verify.BadExportError(f"{kind} says no object")
    return payload


def signed_files(
    folder: Path, digests: Mapping[str, str], *, twin: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The signed files that lie here, each with its digest, and those that do not; the twin must.

    Raises:
        BadExportError: if a file has another digest, or the twin is missing.
    """
    present = []
    for name, digest in sorted(digests.items()):
        if Path(name).name != name:
            raise verify.BadExportError(f"no plain file name (got {name!r})")
        if not (folder / name).exists():
            continue
        found = hashlib.sha256(read(folder, name)).hexdigest()
        if found != digest:
            raise verify.BadExportError(f"{name} has another digest (got {found}, expected {digest})")
        present.append(name)
    if twin not in present:
        raise verify.BadExportError(f"{twin} is not here")
    return tuple(present), tuple(sorted(set(digests) - set(present)))


def text_of(value: str) -> str:
    """A key that is given as text, or in a file.

    Raises:
        OSError: if the file cannot be read.
    """
    if value.lstrip().startswith("{"):
        return value
    path = Path(value)
    return path.read_text(encoding="utf-8") if path.is_file() else value


def receipt_entry(folder: Path, vkey: str, witnesses: Sequence[str], quorum: int | None) -> dict[str, Any]:
    """The entry that ``receipt.json`` proves to be in the ledger, under a checkpoint of its own.

    Raises:
        BadExportError: if it does not.
    """
    receipt = json.loads(read(folder, "receipt.json"))
    size, root, _ = verify.open_checkpoint(receipt["checkpoint"], vkey, witnesses=witnesses, quorum=quorum)
    return verify.check_proved(receipt["index"], receipt["leaf"], receipt["proof"], size, root)
