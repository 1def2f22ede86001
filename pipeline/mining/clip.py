"""CLIP and Chinese-CLIP: words and pictures as vectors of one space, by weights that their user gives.

No weights come with Fleetgate. Those that are given are held to their digest before anything parses them, and fill
a network to its last parameter or are refused: an untrained network never answers, and nothing is downloaded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import file_digest
from hashlib import sha256 as sha256_of
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.mining.errors import ModelError

CHINESE_CLIP: Final = "chinese-clip"
"""Name of the networks whose weights are a folder; every other name is one of open_clip."""
FOLDER_FILES: Final = (
    "config.json",
    "model.safetensors",
    "preprocessor_config.json",
    "pytorch_model.bin",
    "tokenizer_config.json",
    "vocab.txt",
)
"""What is read of a folder; its digest covers every file."""

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipIdentity:
    """Which network with which weights: vectors of two that differ in either do not compare.

    Attributes:
        name: ``chinese-clip``, or a name of open_clip, with ``:TAG`` where one was given.
        sha256: Digest of the weights, see ``held_weights``.
    """

    name: str
    sha256: str

    def document(self) -> dict[str, str]:
        """As plain values."""
        return {"name": self.name, "sha256": self.sha256}

    def __str__(self) -> str:
        return f"{self.name} sha256 {self.sha256}"


class ClipNetwork(Protocol):
    """A network that was filled: one of open_clip, or Chinese-CLIP."""

    def prepared(self, picture: Image.Image) -> FloatArray:
        """A picture in RGB as the network takes it: 3 × height × width."""
        ...

    def of_pictures(self, planes: FloatArray) -> FloatArray:
        """A vector of any length for each prepared picture."""
        ...

    def of_text(self, text: str) -> FloatArray:
        """A vector of any length for words.

        Raises:
            QuestionError: It cannot read them, or not all of them.
        """
        ...


class ClipModel:
    """Vectors of length 1 whose inner product says how well words and pictures go together."""

    def __init__(self, identity: ClipIdentity, network: ClipNetwork) -> None:
        self.identity = identity
        self._network = network

    def prepared(self, picture: Image.Image) -> FloatArray:
        """A picture in RGB as ``pictures`` takes it, so that no more than this is kept of it in memory."""
        return self._network.prepared(picture)

    def pictures(self, prepared: Sequence[FloatArray]) -> FloatArray:
        """The vectors of pictures, one in a row.

        Raises:
            ModelError: The network's answer has no direction: its weights are not finite, or all zero.
        """
        return self._unit(self._network.of_pictures(np.stack(list(prepared))))

    def picture(self, picture: Image.Image) -> FloatArray:
        """The vector of one picture in RGB; errors as of ``pictures``."""
        vector: FloatArray = self.pictures([self.prepared(picture)])[0]
        return vector

    def text(self, text: str) -> FloatArray:
        """The vector of words.

        Raises:
            QuestionError: The network cannot read them, or not all of them.
            ModelError: Its answer has no direction.
        """
        vector: FloatArray = self._unit(self._network.of_text(text)[None, :])[0]
        return vector

    def _unit(self, vectors: FloatArray) -> FloatArray:
        lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
        if not (np.isfinite(lengths).all() and (lengths > 0).all()):
            raise ModelError(
                f"{self.identity} (got a vector of length {lengths.min()}, expected a direction)"
            )
        return np.ascontiguousarray(vectors / lengths, dtype=np.float32)


def load_clip(weights: Path, *, sha256: str, name: str) -> ClipModel:
    """Load a network with the weights that are given.

    1. The weights are those that the digest says. 2. The network's name is known. 3. They hold values only, no
    code. 4. They fill every parameter of the network, and hold no other.

    Args:
        weights: A file (safetensors, or a state dict of torch) for a network of open_clip; for ``chinese-clip``
            the folder with configuration, vocabulary and weights as transformers saves them.
        sha256: Their expected digest, hexadecimal, see ``held_weights``.
        name: ``chinese-clip``, or a name of open_clip.

    Raises:
        ModelError: One of these fails, or a file instead of a folder is given, or the reverse.
        ModuleNotFoundError: The extra ``clip`` is not installed.
    """
    held = held_weights(weights, sha256)  # 1
    from pipeline.mining.clip_networks import chinese_clip, open_clip_network  # noqa: PLC0415 - takes seconds

    identity = ClipIdentity(name=name, sha256=sha256)
    if weights.is_dir() is not (name == CHINESE_CLIP):
        wanted = "a folder" if name == CHINESE_CLIP else "a file"
        raise ModelError(f"weights of {name} (got {weights.name!r}, expected {wanted})")
    if name == CHINESE_CLIP:
        return ClipModel(identity, chinese_clip(held))
    return ClipModel(identity, open_clip_network(name, held[weights.name], weights.name))


def held_weights(weights: Path, expected: str) -> dict[str, bytes]:
    """The content of weights whose digest is the expected one, by name: what is parsed is what was held to it.

    The digest of a file is its SHA-256; of a folder that of its listing, one line for each file,
    ``<sha256>  <path inside the folder>``, sorted by path: what ``sha256sum`` prints of the files inside it. Of a
    folder ``FOLDER_FILES`` are returned.

    Raises:
        ModelError: They are missing, or others.
    """
    try:
        held, digest = _read_folder(weights) if weights.is_dir() else _read_file(weights)
    except OSError as error:
        raise ModelError(f"{weights}: {error.strerror}") from error
    if digest != expected:
        raise ModelError(f"{weights} (got sha256 {digest}, expected {expected})")
    return held


def _read_file(path: Path) -> tuple[dict[str, bytes], str]:
    content = path.read_bytes()
    return {path.name: content}, sha256_of(content).hexdigest()


def _read_folder(folder: Path) -> tuple[dict[str, bytes], str]:
    inside = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    held, listing = {}, []
    for name, path in sorted(inside.items()):
        with path.open("rb") as file:
            if name in FOLDER_FILES:
                held[name] = file.read()
                digest = sha256_of(held[name]).hexdigest()
            else:
                digest = file_digest(file, "sha256").hexdigest()
        listing.append(f"{digest}  {name}\n")
    return held, sha256_of("".join(listing).encode()).hexdigest()
