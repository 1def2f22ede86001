"""An update: what training at one site changes in the weights, clipped, as plain arrays.

An update is computed from the site's samples and can give them away: gradients of few samples have been inverted
to pictures, and who trained on a sample can be guessed. Clipping bounds what one round says; it adds no noise and
is no differential privacy.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.federated.errors import UpdateError
from pipeline.federated.flower_peer import Arrays


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Update:
    """A change of weights.

    Attributes:
        arrays: New weights less old ones, in order, clipped.
        norm: L2 norm of the whole change before clipping.
        clipped: Whether it was scaled down.
    """

    arrays: Arrays
    norm: float
    clipped: bool


def update_of(before: Sequence[np.ndarray], after: Sequence[np.ndarray], *, clip: float) -> Update:
    """The change from one set of weights to another, scaled to an L2 norm of at most ``clip``.

    Raises:
        UpdateError: Counts, shapes or types differ, they are no floating-point numbers, or not finite.
        ValueError: ``clip`` is not positive.
    """
    if not clip > 0:
        raise ValueError(f"clip (got {clip}, expected a positive norm)")
    if len(before) != len(after):
        raise UpdateError(f"weights (got {len(after)} arrays, expected {len(before)})")
    changes = []
    for number, (old, new) in enumerate(zip(before, after, strict=True)):
        if new.shape != old.shape or new.dtype != old.dtype or not np.issubdtype(old.dtype, np.floating):
            raise UpdateError(
                f"weights {number} (got {new.dtype} {new.shape}, expected {old.dtype} {old.shape} of "
                "floating-point numbers)"
            )
        change = new.astype(np.float64) - old
        if not np.isfinite(change).all():
            raise UpdateError(
                f"weights {number} (got a value that is not finite: has the training diverged?)"
            )
        changes.append(change)
    norm = float(np.sqrt(sum(float((change**2).sum()) for change in changes)))
    scale = min(1.0, clip / norm) if norm > 0 else 1.0
    arrays = [(change * scale).astype(old.dtype) for change, old in zip(changes, before, strict=True)]
    return Update(arrays=arrays, norm=norm, clipped=scale < 1.0)
