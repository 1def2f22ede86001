"""Private keys of people, vehicles and witnesses: files of encrypted PKCS#8 PEM, mode 0600."""

import os
import unicodedata
from pathlib import Path
from typing import Final

from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from gateway.vault.durable import storage, write_once
from gateway.vault.errors import KeyExistsError, KeyUnavailableError, PassphraseError, StatementError
from gateway.vault.jws import PrivateKey
from gateway.vault.sm2 import Sm2PrivateKey

_CURVE: Final = "Ed25519"
_ENCRYPTED: Final = b"-----BEGIN ENCRYPTED PRIVATE KEY-----"


def save_private_key(key: PrivateKey, path: Path, passphrase: bytes | str) -> None:
    """Write a private key durably, to a path that is free.

    Raises:
        PassphraseError: The passphrase is empty.
        KeyExistsError: The path is taken.
        StorageError: The file could not be written.
    """
    if not passphrase:
        raise PassphraseError("a private key is never written without a passphrase (got an empty one)")
    secret = _text(passphrase)
    if isinstance(key, Sm2PrivateKey):
        content = key.as_pem(secret.encode())
    else:
        content = key.as_pem(private=True, password=secret)
    try:
        write_once(path, content)
    except FileExistsError:
        raise KeyExistsError(
            f"cannot write a private key to '{path.name}': a file of that name exists"
        ) from None


def load_person_key(path: Path, passphrase: bytes | str) -> PrivateKey:
    """Read an Ed25519 or SM2 key that :func:`save_private_key` wrote.

    Raises:
        KeyUnavailableError: There is no such file, others may read it, or it holds no encrypted key of these.
        PassphraseError: The passphrase is wrong.
    """
    content, secret = _encrypted(path), _text(passphrase)
    try:
        key = OKPKey.import_key(content, password=secret)
    except (JoseError, ValueError, TypeError):
        # Only the opened file tells what sort of key it holds, and each library opens its own sort alone.
        return _sm2(path, content, secret)
    if key.curve_name != _CURVE:
        raise KeyUnavailableError(
            f"'{path.name}' holds another key (got {key.curve_name}, expected {_CURVE} or SM2)"
        )
    return key


def load_private_key(path: Path, passphrase: bytes | str) -> OKPKey:
    """As :func:`load_person_key`, for those who can use no other key than Ed25519.

    Raises:
        KeyUnavailableError: There is no such file, others may read it, or it holds no encrypted Ed25519 key.
        PassphraseError: The passphrase is wrong.
    """
    key = load_person_key(path, passphrase)
    if isinstance(key, Sm2PrivateKey):
        raise KeyUnavailableError(f"'{path.name}' holds another key (got SM2, expected {_CURVE})")
    return key


def _sm2(path: Path, content: bytes, secret: str) -> Sm2PrivateKey:
    try:
        return Sm2PrivateKey.from_pem(content, secret.encode())
    except StatementError as error:
        raise PassphraseError(
            f"the passphrase does not open '{path.name}' as an {_CURVE} or SM2 key: {error}"
        ) from error


def _encrypted(path: Path) -> bytes:
    if not path.is_file():
        raise KeyUnavailableError(f"no private key in '{path.name}'")
    with storage("read file", path.name):
        mode = path.stat().st_mode & 0o777
        content = path.read_bytes()
    if os.name == "posix" and mode & 0o077:
        raise KeyUnavailableError(
            f"private key '{path.name}' is exposed (got mode {mode:04o}, expected 0600)"
        )
    if not content.startswith(_ENCRYPTED):
        raise KeyUnavailableError(
            f"'{path.name}' holds no encrypted private key (expected encrypted PKCS#8 PEM)"
        )
    return content


def _text(passphrase: bytes | str) -> str:
    text = passphrase.decode() if isinstance(passphrase, bytes) else passphrase
    return unicodedata.normalize("NFC", text)
