"""The pictures of a release as vectors of a network, and words as one."""

from collections.abc import Callable
from typing import Final

import numpy as np

from pipeline.manifest import ReleaseItem
from pipeline.mining.clip import ClipIdentity, ClipModel
from pipeline.mining.descriptors import FloatVector, decoded_picture
from pipeline.mining.errors import QuestionError
from pipeline.mining.load import ReleaseSource
from pipeline.mining.ontology import folded
from pipeline.mining.pictures import KeptLooks, picture_items

VECTOR_VERSION: Final = 1
"""Raised when pictures are prepared in another way."""
BATCH: Final = 16
"""Pictures that a network is given at once."""


def vector_name(item: ReleaseItem, clip: ClipIdentity) -> str:
    """What a picture's vector is called where vectors are kept."""
    return f"clip {VECTOR_VERSION} {clip.name} {clip.sha256} {item.sha256}"


def clip_vectors(
    source: ReleaseSource,
    release: str,
    model: ClipModel,
    *,
    kept: KeptLooks | None = None,
    progress: Callable[[ReleaseItem, int, int], None] = lambda *_: None,
) -> dict[str, FloatVector]:
    """The vector of every picture of a release, by its name; one is decoded at a time.

    Args:
        source: Where items are read.
        release: Id of the release.
        model: The network.
        kept: Where vectors are kept, so that a run that broke off goes on, and another needs no picture at all.
        progress: Called before each picture with its number from 1 and how many there are.

    Raises:
        UnreadableItemError: An item of a picture's media type is none.
        ModelError: The network's answer has no direction.
        PipelineError: The gate refuses, or what arrives is not what was signed.
    """
    items = picture_items(source, release)
    found: dict[str, FloatVector] = {}
    waiting: list[tuple[ReleaseItem, FloatVector]] = []
    for number, item in enumerate(items, start=1):
        progress(item, number, len(items))
        known = kept.get(vector_name(item, model.identity)) if kept is not None else None
        if known is not None:
            found[item.name] = np.frombuffer(known, np.float32)
        else:
            picture = decoded_picture(source.read(release, item.name), item.name)
            waiting.append((item, model.prepared(picture)))
        if len(waiting) == BATCH:
            found |= _seen(model, waiting, kept)
            waiting = []
    return found | _seen(model, waiting, kept)


def asked_vector(model: ClipModel, text: str | None, image: bytes | None) -> FloatVector | None:
    """The vector of words, or of a picture of the reader's own; None where neither is asked.

    Raises:
        QuestionError: There are no words, or the network cannot read them, or not all of them.
        UnreadableItemError: The picture is none.
        ModelError: The network's answer has no direction.
    """
    if text is not None:
        if not folded(text):
            raise QuestionError(f"text (got {text!r}, expected words)")
        return model.text(text)
    return None if image is None else model.picture(decoded_picture(image, "--image"))


def _seen(
    model: ClipModel, waiting: list[tuple[ReleaseItem, FloatVector]], kept: KeptLooks | None
) -> dict[str, FloatVector]:
    if not waiting:
        return {}
    vectors = model.pictures([prepared for _, prepared in waiting])
    for (item, _), vector in zip(waiting, vectors, strict=True):
        if kept is not None:
            kept.put(vector_name(item, model.identity), vector.tobytes())
    return {item.name: vector for (item, _), vector in zip(waiting, vectors, strict=True)}
