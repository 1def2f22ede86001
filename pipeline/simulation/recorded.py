"""Runs kept on disk, so that work that was broken off goes on where it stopped.

A back end's answer depends on the row alone, and methods draw rows by a seed: a repeated study asks the same
rows in the same batches, and what is here is not run again. Files are named by what they answer and appear whole.
"""

import os
import tempfile
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np

from pipeline.simulation.backend import BackEnd, Floats, Outcomes, Parameter
from pipeline.simulation.errors import RunFolderError

_COLUMNS = ("min_gap", "min_ttc", "impact_speed")


class RecordedRuns:
    """A back end whose answers are kept in a folder."""

    def __init__(
        self, back_end: BackEnd, folder: Path, *, batch: int, told: Callable[[int], None] = lambda _runs: None
    ) -> None:
        """Bind the folder.

        Args:
            back_end: What runs.
            folder: Where answers are kept; it is made where it is missing.
            batch: Rows that are run and kept together: what an interruption can lose.
            told: Told the rows of each batch once they are there.

        Raises:
            RunFolderError: The folder cannot be made.
        """
        self.fresh = 0
        self.kept = 0
        self._back_end = back_end
        self._folder = folder
        self._batch = batch
        self._told = told
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunFolderError(f"{folder} cannot be made: {error.strerror}") from error

    @property
    def digest(self) -> str:
        """The back end's."""
        return self._back_end.digest

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The back end's."""
        return self._back_end.parameters

    def run(self, values: Floats) -> Outcomes:
        """Run what is not here yet.

        Raises:
            BackEndError: The simulator failed; the batches before are kept.
            RunFolderError: The folder cannot be written, or holds a damaged file.
        """
        parts = [self._one(values[i : i + self._batch]) for i in range(0, len(values), self._batch)]
        table = np.concatenate(parts) if parts else np.empty((0, len(_COLUMNS)))
        return Outcomes(min_gap=table[:, 0], min_ttc=table[:, 1], impact_speed=table[:, 2])

    def _one(self, rows: Floats) -> Floats:
        named = sha256(self.digest.encode() + b"\0" + np.ascontiguousarray(rows).tobytes())
        path = self._folder / f"{named.hexdigest()}.npy"
        if path.exists():
            answers = _read(path, len(rows))
            self.kept += len(rows)
        else:
            outcomes = self._back_end.run(rows)
            answers = np.column_stack([getattr(outcomes, column) for column in _COLUMNS])
            _write(path, answers)
            self.fresh += len(rows)
        self._told(len(rows))
        return answers


def _read(path: Path, count: int) -> Floats:
    try:
        answers = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise RunFolderError(f"{path} is damaged (remove it to run it again): {error}") from error
    if not isinstance(answers, np.ndarray) or answers.shape != (count, len(_COLUMNS)):
        raise RunFolderError(f"{path} is damaged (remove it to run it again)")
    return answers


def _write(path: Path, answers: Floats) -> None:
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
            np.save(file, answers, allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        Path(file.name).rename(path)
    except OSError as error:
        raise RunFolderError(f"{path.parent} cannot be written: {error.strerror}") from error
