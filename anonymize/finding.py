"""What was detected and what was done about it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class FindingKind(StrEnum):
    """What a finding is a finding of."""

    FACE = "face"
    PLATE = "plate"
    LIMIT_SIGN = "limit_sign"
    METADATA = "metadata"
    EMBEDDED_IMAGE = "embedded_image"
    EMBEDDED_STREAM = "embedded_stream"
    AUDIO = "audio"
    POSITION = "position"
    RESTRICTED_ZONE = "restricted_zone"
    ELEVATION = "elevation"
    TIMESTAMP = "timestamp"
    PERSON_NAME = "person_name"
    RESIDENT_ID = "resident_id"
    PHONE = "phone"
    EMAIL = "email"
    BANK_CARD = "bank_card"
    ORGANISATION_CODE = "organisation_code"
    VIN = "vin"
    DEVICE_ID = "device_id"
    IP_ADDRESS = "ip_address"
    ADDRESS = "address"
    STREET_NAME = "street_name"
    TEXT = "text"
    MAP_ATTRIBUTE = "map_attribute"
    UNLISTED_FIELD = "unlisted_field"


class TreatmentKind(StrEnum):
    """What was done about findings."""

    MASK_MEAN = "mask_mean"
    MASK_SOLID = "mask_solid"
    MASK_PIXELATE = "mask_pixelate"
    MASK_BLUR = "mask_blur"
    MASK_REPLACE = "mask_replace"
    REENCODE = "reencode"
    STRIP_METADATA = "strip_metadata"
    REDACT = "redact"
    DROP = "drop"
    CUT = "cut"
    LOCAL_FRAME = "local_frame"
    KEYED_OFFSET = "keyed_offset"
    SECRECY_PROCESSOR = "secrecy_processor"
    TIME_SHIFT = "time_shift"
    DROP_AUDIO = "drop_audio"
    DROP_STREAM = "drop_stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelBox:
    """Axis-aligned box in pixels of the upright image, half-open: columns x0..x1-1, rows y0..y1-1."""

    x0: int
    y0: int
    x1: int
    y1: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameBox:
    """A pixel box in one frame of a video.

    Attributes:
        frame: Index of the frame in presentation order, from 0.
        box: Box in pixels of the upright frame.
    """

    frame: int
    box: PixelBox


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSpan:
    """Half-open span of code points in the string at ``path`` (RFC 6901 pointer; empty: the whole text)."""

    start: int
    end: int
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexSpan:
    """Half-open span of samples (fixes of a track, points of a sweep) in the order of the original."""

    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldPath:
    """A named field: an EXIF tag, a PNG chunk, a JSON key, a CSV column, a GPX element."""

    path: str


Where = PixelBox | FrameBox | TextSpan | IndexSpan | FieldPath


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One detection. Never carries the detected content itself, only its place.

    Attributes:
        kind: What was found.
        where: Its place in the original item.
        confidence: In [0, 1]; 1.0 for structural findings (a metadata field is there or it is not).
        detector: ``name@digest12`` of the detector, or the name of the reader for structural findings.
        label: A closed-vocabulary detail (zone kind, class name), never free content of the item.
    """

    kind: FindingKind
    where: Where
    confidence: float
    detector: str
    label: str = ""

    def __post_init__(self) -> None:
        if not 0.0 <= self.confidence <= 1.0:
            raise ValueError(f"confidence must lie in [0, 1] (got {self.confidence!r})")
        if not self.detector:
            raise ValueError("a finding names its detector (got '')")

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form; the place carries its type."""
        return {
            "kind": self.kind.value,
            "where": {"type": type(self.where).__name__, **asdict(self.where)},
            "confidence": round(self.confidence, 4),
            "detector": self.detector,
            "label": self.label,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Treatment:
    """What was done about findings of one kind; ``count`` is how many places were treated."""

    kind: TreatmentKind
    of: FindingKind
    count: int
    parameters: Mapping[str, str | int | float | bool] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "kind": self.kind.value,
            "of": self.of.value,
            "count": self.count,
            "parameters": dict(self.parameters),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Treated:
    """The outcome of cleansing one item: new content in memory and the evidence of what changed.

    Attributes:
        content: The treated bytes; empty only when ``dropped``.
        media_type: IANA media type of ``content``.
        findings: Everything that was detected in the original.
        treatments: Everything that was done.
        facts: JSON-ready measures for policy (pixels, points kept, dropped share).
        dropped: The whole item was removed (a frame inside a restricted zone); it must not be released.
        mask: Where pixels of an image were destroyed, as a 1-bit PNG of its size (white: destroyed), for the
            losses of training; empty where that does not apply.
    """

    content: bytes
    media_type: str
    findings: tuple[Finding, ...]
    treatments: tuple[Treatment, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)
    dropped: bool = False
    mask: bytes = b""
