"""Legible text in images as an option (extra ``ocr``): telephone numbers, addresses, street names, any text.

RapidOCR (Apache-2.0) runs the PP-OCRv4 models that its wheel ships; nothing is downloaded. What it reads is
classified and forgotten: no finding, error or log carries it.
"""

import hashlib
import importlib.util
import re
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from math import ceil
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from anonymize.errors import ModelError
from anonymize.finding import Finding, FindingKind
from anonymize.media.detection import Image, Look, identity, require_rgb, to_finding
from anonymize.media.inference import import_onnxruntime
from anonymize.text import identity_rules, place_rules

_PACKAGE = "rapidocr_onnxruntime"
_MODELS = {
    "ch_PP-OCRv4_det_infer.onnx": "d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9",
    "ch_PP-OCRv4_rec_infer.onnx": "48fc40f24f6d2a207a2b1091d3437eb3cc3eb6b676dc3ef9c37384005483683b",
    "ch_ppocr_mobile_v2.0_cls_infer.onnx": "e47acedf663230f8863ff1ab0e64dd2d82b838fceb5957146dab185a89d6215c",
}
_WINDOW_PX = 1536
_OVERLAP_PX = 512
_RESIDUAL_SCALE = 1.3

_PHONES = tuple(
    re.compile(rule.pattern, re.IGNORECASE) for rule in identity_rules.RULES if rule.kind is FindingKind.PHONE
)
_ADDRESSES = tuple(
    re.compile(rule.pattern, re.IGNORECASE) for rule in place_rules.RULES if rule.kind is FindingKind.ADDRESS
)
# The models know no ß and read it as b, B or ss; a number beside a street's name makes it an address.
_STREETS = (
    re.compile(
        r"[\u4e00-\u9fff]{1,9}(?:大道|大街|公路|环路|胡同|高速|路|街|巷|弄)(?:[东西南北中]|辅路)?段?(?![\u4e00-\u9fff])"
    ),
    re.compile(
        r"\w{2,}(?:stra(?:ss|ß|b)e|str\.|platz|allee|gasse|weg|straat|laan|gatan|vägen|vej|gade)\b", re.IGNORECASE
    ),
    re.compile(
        r"\b(?:rue|avenue|boulevard|chemin|quai|via|viale|piazza|corso|calle|plaza|avenida|rua|ulica|ul\.)\s*\w{2,}",
        re.IGNORECASE,
    ),
    # Spaces get lost in reading: words that end in these are streets, abbreviations only when they stand alone.
    re.compile(
        r"\w{2,}\s*(?:street|road|avenue|lane|boulevard|square|highway)\b|\w{2,}\s+(?:st|rd|ave|blvd|dr|hwy)\b",
        re.IGNORECASE,
    ),
)  # fmt: skip
_HOUSE = re.compile(r"(?<!\d)\d{1,5}\s?[A-Za-z]?(?!\d)|[0-9一二三四五六七八九十百]+号")


class StreetTextDetector:
    """Finds lines of legible text, by what they are (``kind_of``).

    Confidence is that of the recognition. The residual look enlarges the image, which moves every line onto
    another size and sampling grid.
    """

    name = "rapidocr"
    kinds = frozenset({FindingKind.PHONE, FindingKind.ADDRESS, FindingKind.STREET_NAME, FindingKind.TEXT})

    def __init__(self) -> None:
        """Load the models.

        Raises:
            ModelError: The extra is not installed, or a model is missing or has the wrong digest.
        """
        self.digest = _verified_digest()
        self.runtime = f"onnxruntime {version('onnxruntime')} CPU f32"
        self._reader = _reader()
        self._lock = Lock()

    def detect(self, image: Image, *, threshold: float, look: Look = Look.MASKING) -> tuple[Finding, ...]:
        """Find lines of text; see ``Detector.detect``.

        Raises:
            ModelError: The image is none, or the models cannot be run.
        """
        require_rgb(image)
        height, width = image.shape[:2]
        scale = _RESIDUAL_SCALE if look is Look.RESIDUAL else 1.0
        seen = image if scale == 1.0 else _resized(image, scale)
        found = []
        for x, y, window in _windows(seen):
            for corners, kind, confidence in self._read(window):
                finding = to_finding(
                    kind,
                    (corners + np.array([x, y, x, y], dtype=np.float32)) / np.float32(scale),
                    confidence,
                    size=(width, height),
                    detector=identity(self),
                )
                if finding is not None and finding.confidence >= threshold:
                    found.append(finding)
        return tuple(found)

    def detect_batch(
        self, images: Sequence[Image], *, threshold: float, look: Look = Look.MASKING
    ) -> tuple[tuple[Finding, ...], ...]:
        """``detect`` on each image, in order.

        Raises:
            ModelError: An image is none, or the models cannot be run.
        """
        return tuple(self.detect(image, threshold=threshold, look=look) for image in images)

    def _read(self, window: Image) -> Iterator[tuple[NDArray[np.float32], FindingKind, float]]:
        """Box, kind and confidence of each line of a window; its words end here."""
        try:
            with self._lock:  # the reader keeps the size of the image at hand in itself
                lines, _ = self._reader(np.ascontiguousarray(window[..., ::-1]))
        except Exception as error:  # noqa: BLE001 - whatever it is, its message may quote what was read
            raise ModelError(f"{self.name} failed: {type(error).__name__}") from None
        for quad, words, confidence in lines or ():
            points = np.asarray(quad, dtype=np.float32)
            corners = np.concatenate([points.min(axis=0), points.max(axis=0)])
            yield corners, kind_of(str(words)), float(confidence)


def kind_of(words: str) -> FindingKind:
    """Telephone number, address (a street with a number), street name, or any other text.

    The expressions for telephone numbers and addresses are those of ``anonymize.text``.
    """
    if any(p.search(words) for p in _PHONES):
        return FindingKind.PHONE
    if any(p.search(words) for p in _ADDRESSES):
        return FindingKind.ADDRESS
    for pattern in _STREETS:
        street = pattern.search(words)
        if street:
            rest = words[: street.start()] + " " + words[street.end() :]
            return FindingKind.ADDRESS if _HOUSE.search(rest) else FindingKind.STREET_NAME
    return FindingKind.TEXT


def _verified_digest() -> str:
    """SHA-256 over the names and digests of the model files, which must be the pinned ones."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(f"text in images needs the extra 'ocr' (no package {_PACKAGE})")
    folder = Path(spec.submodule_search_locations[0]) / "models"
    for name, expected in _MODELS.items():
        path = folder / name
        if not path.is_file():
            raise ModelError(f"model file is missing (got none at {_PACKAGE}/models/{name})")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if digest != expected:
            raise ModelError(f"{name} has the wrong digest (got {digest}, expected {expected})")
    lines = sorted(f"{name} {digest}" for name, digest in _MODELS.items())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _reader() -> Any:
    import_onnxruntime()
    from rapidocr_onnxruntime import RapidOCR  # type: ignore[import-untyped]  # noqa: PLC0415 - imports cv2

    # Lines of any confidence: the profile's threshold decides.
    return RapidOCR(text_score=0.0, max_side_len=_WINDOW_PX)


def _resized(image: Image, scale: float) -> Image:
    size = (ceil(image.shape[1] * scale), ceil(image.shape[0] * scale))
    return np.asarray(
        PillowImage.fromarray(image).resize(size, PillowImage.Resampling.BICUBIC), dtype=np.uint8
    )


def _windows(image: Image) -> Iterator[tuple[int, int, Image]]:
    """Left and top edge and pixels of overlapping windows that cover the image."""
    for y in _starts(image.shape[0]):
        for x in _starts(image.shape[1]):
            yield x, y, image[y : y + _WINDOW_PX, x : x + _WINDOW_PX]


def _starts(length: int) -> list[int]:
    count = max(1, ceil((length - _OVERLAP_PX) / (_WINDOW_PX - _OVERLAP_PX)))
    return [round(i * (length - _WINDOW_PX) / (count - 1)) if count > 1 else 0 for i in range(count)]
