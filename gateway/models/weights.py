"""Model files in the gate's home, named by what they are: ``models/<sha256>/<file>``. Public, not sealed."""

import hashlib
from contextlib import suppress
from pathlib import Path

from anonymize.errors import ModelError
from anonymize.media.model_card import ModelCard, require_digest
from gateway.vault.durable import storage, sync_directory, write_once

MAX_BYTES = 2 * 1024**3


def weights_path(home: Path, card: ModelCard) -> Path:
    """Where the file of a registered model lies."""
    return home / "models" / card.sha256 / card.file


def read_model_file(path: Path) -> tuple[bytes, str]:
    """A file that the user names, and its SHA-256.

    Raises:
        ModelError: It cannot be read or is larger than two gibibytes.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ModelError(f"model file is too large (got {size} bytes, expected at most {MAX_BYTES})")
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"model file cannot be read: {error.strerror} (got {path.name!r})") from error
    return content, hashlib.sha256(content).hexdigest()


def store_weights(home: Path, card: ModelCard, content: bytes) -> Path:
    """Keep a model file durably; a file that is there already has to be the same.

    Raises:
        ModelError: The content, or what is there already, has another digest than the card.
        StorageError: The disk refused.
    """
    require_digest(card, content)
    path = weights_path(home, card)
    with storage("create directory", path.parent.name):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    sync_directory(path.parent.parent)
    with suppress(FileExistsError):
        write_once(path, content)
    load_weights(home, card)
    return path


def load_weights(home: Path, card: ModelCard) -> bytes:
    """Read a model file; its digest is verified each time.

    Raises:
        ModelError: The file is missing or has another digest.
    """
    path = weights_path(home, card)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"model {card.name!r} cannot be read: {error.strerror} (got {path.name!r})"
        ) from error
    return require_digest(card, content)
