"""What a detector is, and the detectors that work offline after installation."""

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from anonymize.errors import ModelError
from anonymize.finding import Finding, FindingKind, PixelBox
from anonymize.media.inference import DEFAULT_ENGINE, Engine

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
        runtime: Engine, its version, device and precision, as evidence names them.
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

    @property
    def runtime(self) -> str:
        """Engine, its version, device and precision."""

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
    return set_digest((d.name, d.digest, d.kinds) for d in detectors)


def set_digest(detectors: Iterable[tuple[str, str, Collection[FindingKind]]]) -> str:
    """``detector_set_digest`` of detectors that are not loaded: name, digest of the model file, kinds.

    Raises:
        ModelError: There is no detector.
    """
    lines = sorted(f"{name} {digest} {','.join(sorted(kinds))}" for name, digest, kinds in detectors)
    if not lines:
        raise ModelError("a detector set has at least one detector (got none)")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """The smallest objects that must be found: heights in pixels of the upright image.

    Attributes:
        face_px: Of a face, from forehead to chin.
        plate_px: Of a licence plate.
        limit_sign_px: Of a limit sign.
    """

    face_px: int = 10
    plate_px: int = 12
    limit_sign_px: int = 12

    def __post_init__(self) -> None:
        if min(self.face_px, self.plate_px, self.limit_sign_px) < 1:
            raise ModelError(f"objects that must be found have a height of at least one pixel (got {self})")

    def by_kind(self) -> dict[FindingKind, int]:
        """The same, by kind of finding."""
        return {
            FindingKind.FACE: self.face_px,
            FindingKind.PLATE: self.plate_px,
            FindingKind.LIMIT_SIGN: self.limit_sign_px,
        }


DEFAULT_REACH = Reach()


@lru_cache(maxsize=4)
def embedded_detectors(
    reach: Reach = DEFAULT_REACH, engine: Engine = DEFAULT_ENGINE
) -> tuple["Detector", ...]:
    """The shipped detectors on the CPU, loaded once per process for each reach and engine.

    Args:
        reach: The smallest objects that must be found.
        engine: Who runs the models.

    Raises:
        ModelError: A model is missing, has the wrong digest or does not load.
    """
    # These modules import this one.
    from anonymize.media.centerface import CenterFace  # noqa: PLC0415
    from anonymize.media.pyramid import PyramidDetector  # noqa: PLC0415
    from anonymize.media.street import street_network  # noqa: PLC0415

    networks = (CenterFace(engine=engine), street_network(engine=engine))
    return tuple(PyramidDetector(n, reach=reach.by_kind()) for n in networks)


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
