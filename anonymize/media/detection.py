"""What a detector is, and the detectors that work offline after installation."""

import hashlib
from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from anonymize.errors import ModelError
from anonymize.finding import Finding, FindingKind, PixelBox

Image = NDArray[np.uint8]


class Look(StrEnum):
    """Why a detector looks; the two looks see an image at different scales, sampling grids or orientations."""

    MASKING = "masking"
    RESIDUAL = "residual"


class Detector(Protocol):
    """Finds objects in upright images.

    Attributes:
        name: Stable name of the detector.
        digest: SHA-256 of its model file.
        kinds: Kinds of finding that it can produce; never empty.
    """

    @property
    def name(self) -> str:
        """Stable name of the detector."""

    @property
    def digest(self) -> str:
        """SHA-256 of the model file, hexadecimal."""

    @property
    def kinds(self) -> frozenset[FindingKind]:
        """Kinds of finding that it can produce."""

    def detect(self, image: Image, *, threshold: float, look: Look = Look.MASKING) -> tuple[Finding, ...]:
        """Find objects of at least ``threshold`` confidence.

        Boxes are half-open and clipped to the image. May be called from several threads.

        Args:
            image: H × W × 3, RGB, upright.
            threshold: Least confidence, in [0, 1].
            look: Which of the two looks to take.

        Raises:
            ModelError: The model cannot be run.
        """

    def detect_batch(
        self, images: Sequence[Image], *, threshold: float, look: Look = Look.MASKING
    ) -> tuple[tuple[Finding, ...], ...]:
        """``detect`` on each image, in order; images of one size run together where the engine can.

        Raises:
            ModelError: The model cannot be run.
        """


def identity(detector: Detector) -> str:
    """``name@digest12``, as findings and reports name a detector."""
    return f"{detector.name}@{detector.digest[:12]}"


def detector_set_digest(detectors: Sequence[Detector]) -> str:
    """SHA-256 that is equal for equal sets of detectors, in whatever order.

    Raises:
        ModelError: There is no detector.
    """
    if not detectors:
        raise ModelError("a detector set has at least one detector (got none)")
    lines = sorted(f"{d.name} {d.digest} {','.join(sorted(d.kinds))}" for d in detectors)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@lru_cache(maxsize=1)
def embedded_detectors() -> tuple[Detector, ...]:
    """The shipped face and plate detectors (ONNX Runtime on the CPU), loaded once per process.

    Raises:
        ModelError: A model is missing, has the wrong digest or does not load.
    """
    from anonymize.media.centerface import CenterFace  # noqa: PLC0415 - these modules import this one
    from anonymize.media.plates import plate_detector  # noqa: PLC0415 - the same

    return CenterFace(), plate_detector()


def mirror(image: Image) -> Image:
    """The image as a mirror shows it, contiguous."""
    return np.ascontiguousarray(image[:, ::-1])


def mirror_boxes(boxes: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """N × 4 corners of a mirrored image of ``width`` columns, in pixels of the image itself."""
    turned = boxes.copy()
    turned[:, 0], turned[:, 2] = width - boxes[:, 2], width - boxes[:, 0]
    return turned


def require_rgb(image: Image) -> None:
    """Refuse anything but a non-empty H × W × 3 image of bytes.

    Raises:
        ModelError: The array has another shape or type.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:  # noqa: PLR2004
        raise ModelError(f"detectors take H×W×3 uint8 images (got {image.shape} {image.dtype})")


def to_finding(
    kind: FindingKind,
    corners: NDArray[np.float32],
    confidence: float,
    *,
    size: tuple[int, int],
    detector: str,
    label: str = "",
) -> Finding | None:
    """Make a finding of a detector's box: rounded outwards, clipped; None where nothing lies in the image.

    Args:
        kind: What was found.
        corners: x0, y0, x1, y1 in pixels of the image.
        confidence: The detector's confidence.
        size: Width and height of the image in pixels.
        detector: ``name@digest12``.
        label: Class name of the detector.

    Raises:
        ModelError: A coordinate or the confidence is not finite.
    """
    if not (np.isfinite(corners).all() and np.isfinite(confidence)):
        raise ModelError(f"the detector gave a number that is not finite (got {detector!r})")
    width, height = size
    x0, y0 = (max(0, int(np.floor(v))) for v in corners[:2])
    x1, y1 = min(width, int(np.ceil(corners[2]))), min(height, int(np.ceil(corners[3])))
    if x1 <= x0 or y1 <= y0:
        return None
    return Finding(
        kind=kind,
        where=PixelBox(x0=x0, y0=y0, x1=x1, y1=y1),
        confidence=float(np.clip(confidence, 0.0, 1.0)),
        detector=detector,
        label=label,
    )
