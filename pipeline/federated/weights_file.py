"""Weights of a federated training after each round, as files of plain arrays that no pickle is read from.

A folder holds ``round-0000.npz``, what the training began with, and a file for each round after it. A file takes
its name only once it is whole and on the disk; its ``head`` says which round it is and with which weights the
training began, so that files of two trainings in one folder are noticed.
"""

import fcntl
import io
import json
import os
import secrets
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np

from pipeline.federated.errors import WeightsError
from pipeline.federated.flower_peer import Arrays, pack

FORMAT: Final = "fleetgate-federated-weights/1"
_HEAD: Final = "head"
_LOCK: Final = "lock"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RoundWeights:
    """Weights after a round.

    Attributes:
        number: Of the round; 0 for what the training began with.
        names: Of the arrays, in order.
        arrays: Floating-point numbers.
        model: Digest of what the arrays are the weights of; sites demand their own.
        begun: Digest of the weights that the training began with.
        samples: How many all sites trained on in the round.
        sites: How many they were.
    """

    number: int
    names: tuple[str, ...]
    arrays: Arrays
    model: str
    begun: str
    samples: int = 0
    sites: int = 0

    @property
    def digest(self) -> str:
        """SHA-256 of the arrays as they travel: what a site's record calls the base of its next update."""
        return digest_of(self.arrays)


def digest_of(arrays: Arrays) -> str:
    """SHA-256 of arrays as they travel."""
    return sha256(pack({}, arrays)).hexdigest()


def beginning(names: tuple[str, ...], arrays: Arrays, model: str) -> RoundWeights:
    """Weights that a training begins with.

    Raises:
        WeightsError: There are none, or one is not of finite floating-point numbers.
    """
    for name, array in zip(names, arrays, strict=True):
        if not np.issubdtype(array.dtype, np.floating) or not np.isfinite(array).all():
            raise WeightsError(f"weights {name} (got {array.dtype}, expected finite floating-point numbers)")
    if not names or _HEAD in names:
        raise WeightsError(
            f"weights (got names {names[:3]}, expected at least one and none called {_HEAD!r})"
        )
    return RoundWeights(number=0, names=names, arrays=arrays, model=model, begun=digest_of(arrays))


def write_weights(folder: Path, weights: RoundWeights) -> Path:
    """Write weights under the name of their round; returns the file, which is whole and on the disk.

    Raises:
        WeightsError: It cannot be written.
    """
    head = {
        "format": FORMAT,
        "round": weights.number,
        "names": list(weights.names),
        "model": weights.model,
        "begun": weights.begun,
        "samples": weights.samples,
        "sites": weights.sites,
    }
    out = io.BytesIO()
    said = np.frombuffer(json.dumps(head).encode(), np.uint8)
    named = dict(zip(weights.names, weights.arrays, strict=True))
    np.savez(out, allow_pickle=False, **{_HEAD: said, **named})
    path = folder / f"round-{weights.number:04}.npz"
    partial = folder / f".{path.name}.{secrets.token_hex(8)}"
    try:
        with partial.open("xb") as file:
            file.write(out.getvalue())
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        directory = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise WeightsError(f"{path}: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)
    return path


def read_weights(path: Path) -> RoundWeights:
    """Read weights; nothing in the file is ever run.

    Raises:
        WeightsError: It cannot be read, or is no such file.
    """
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as held:
            head: dict[str, Any] = json.loads(held[_HEAD].tobytes())
            if head["format"] != FORMAT:
                raise WeightsError(f"{path.name} (got format {head['format']!r}, expected {FORMAT!r})")
            names = tuple(str(each) for each in head["names"])
            return RoundWeights(
                number=int(head["round"]),
                names=names,
                arrays=[held[name] for name in names],
                model=str(head["model"]),
                begun=str(head["begun"]),
                samples=int(head["samples"]),
                sites=int(head["sites"]),
            )
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise WeightsError(f"{path.name} is no file of weights: {type(error).__name__}: {error}") from error


def last_weights(folder: Path, start: RoundWeights) -> RoundWeights:
    """The last round's weights in a folder of this training; its beginning, written there, where there are none.

    Raises:
        WeightsError: The folder is of a training that began with other weights or of another model, or a round is
            missing.
    """
    numbers = sorted(int(path.stem.removeprefix("round-")) for path in folder.glob("round-[0-9]*.npz"))
    if not numbers:
        write_weights(folder, start)
        return start
    if numbers != list(range(len(numbers))):
        raise WeightsError(f"{folder} (got rounds {numbers}, expected each from 0 on)")
    last = read_weights(folder / f"round-{numbers[-1]:04}.npz")
    if (last.number, last.begun, last.model) != (numbers[-1], start.begun, start.model):
        raise WeightsError(
            f"{folder} is of another training (got one begun with {last.begun} of model {last.model}, expected "
            f"{start.begun} of {start.model}; another one needs a folder of its own)"
        )
    return last


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Be the one process of a training in a folder, which is made where it is missing.

    Raises:
        WeightsError: Another process is at work there, or the folder cannot be used.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise WeightsError(f"{folder}: {error.strerror}") from error
    try:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            raise WeightsError(f"{folder}: another process is at work here") from error
        yield
    finally:
        os.close(lock)
