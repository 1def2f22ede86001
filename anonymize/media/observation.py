"""What detectors see in one labelled picture: the unit that evaluations add up and resume at."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import rfc8785
from PIL import Image as PillowImage
from PIL import ImageOps
from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass as validated

from anonymize.errors import MalformedItemError
from anonymize.finding import Finding, FindingKind, PixelBox
from anonymize.media.detection import Detector, Image
from anonymize.media.labelled import LabelledBox, LabelledImage
from anonymize.media.luminance import Light, light_of
from anonymize.media.masks import coverage, covered_share, treatment_of
from anonymize.profile import ImageProfile

MATCHING = 0.5
_LABEL = "label"
_FORMATS = ("JPEG", "PNG", "BMP", "WEBP")

Corners = tuple[float, float, float, float]
_Share = Annotated[float, Field(ge=0.0, le=1.0)]


@validated(frozen=True, slots=True, kw_only=True, config=ConfigDict(extra="forbid"))
class SeenObject:
    """A labelled object and how well it was seen.

    Attributes:
        kind: Kind of the label.
        box: x0, y0, x1, y1 in whole pixels, clipped to the picture.
        overlap: Best IoU of a detection of the kind.
        covered: Share of what the profile hides of the object that masks of the kind cover.
    """

    kind: FindingKind
    box: tuple[int, int, int, int]
    overlap: _Share
    covered: _Share

    @property
    def side(self) -> int:
        """Longer side in pixels."""
        return max(self.box[2] - self.box[0], self.box[3] - self.box[1])

    @property
    def area(self) -> int:
        """Pixels."""
        return (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])


@validated(frozen=True, slots=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Observation:
    """What was seen in one picture.

    Attributes:
        file: The picture, relative to its set.
        content: SHA-256 of the file.
        labels: SHA-256 of its labels.
        light: Light that the picture shows.
        objects: Its labelled objects that count.
        detections: Number of detections of each kind.
        unmatched: Number of those at IoU below .5 with every label.
    """

    file: str
    content: str
    labels: str
    light: Light
    objects: tuple[SeenObject, ...]
    detections: Mapping[FindingKind, int]
    unmatched: Mapping[FindingKind, int]

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form; ``observation_of`` reads it back."""
        document: dict[str, Any] = TypeAdapter(Observation).dump_python(self, mode="json")
        return document


def observation_of(document: object) -> Observation:
    """An observation from its JSON form.

    Raises:
        pydantic.ValidationError: It is malformed.
    """
    return TypeAdapter(Observation).validate_python(document)


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture's digests, taken before anything is decoded."""

    image: LabelledImage
    content: str
    labels: str


def identify_picture(image: LabelledImage) -> Picture:
    """Digest a picture's file and labels.

    Raises:
        MalformedItemError: The file cannot be read.
    """
    try:
        content = hashlib.sha256(image.path.read_bytes()).hexdigest()
    except OSError as error:
        raise MalformedItemError(f"{image.name} cannot be read: {error.strerror}") from error
    labels = [[b.kind.value if b.kind else "", list(b.box), b.ignore] for b in image.boxes]
    return Picture(
        image=image,
        content=content,
        labels=hashlib.sha256(rfc8785.dumps(sorted(labels, key=str))).hexdigest(),
    )


def observe(
    picture: Picture,
    detectors: Sequence[Detector],
    *,
    profile: ImageProfile,
    kinds: Sequence[FindingKind],
) -> Observation:
    """Run detectors over a picture and hold what they see against its labels.

    Args:
        picture: The picture; it is decoded upright.
        detectors: Each one finds at least one of ``kinds``.
        profile: Thresholds and masks.
        kinds: Kinds to look for; labels of other kinds are left aside.

    Raises:
        MalformedItemError: The picture cannot be decoded, has another size than its labels say, or a label lies
            outside it.
        ModelError: A detector fails.
        ProfileError: The profile masks one of the kinds not.
    """
    image = _decode(picture.image)
    size = (image.shape[1], image.shape[0])
    found = _find(image, detectors, {k: treatment_of(k, profile).threshold for k in kinds})
    objects: list[SeenObject] = []
    unmatched: dict[FindingKind, int] = {}
    for kind in kinds:
        mine = [f for f in found if f.kind is kind]
        labels = [b for b in picture.image.boxes if b.kind is kind]
        excused = [b.box for b in picture.image.boxes if b.ignore and b.kind in (None, kind)]
        counted = [(b.box, _clipped(b, size, picture.image.name)) for b in labels if not b.ignore]
        objects += _seen(kind, counted, mine, size=size, profile=profile)
        unmatched[kind] = sum(_unmatched(_corners(f), [b.box for b in labels], excused) for f in mine)
    return Observation(
        file=picture.image.name,
        content=picture.content,
        labels=picture.labels,
        light=light_of(image),
        objects=tuple(objects),
        detections={kind: sum(f.kind is kind for f in found) for kind in kinds},
        unmatched=unmatched,
    )


def _seen(
    kind: FindingKind,
    labels: Sequence[tuple[Corners, PixelBox]],
    found: Sequence[Finding],
    *,
    size: tuple[int, int],
    profile: ImageProfile,
) -> Iterator[SeenObject]:
    covered = coverage(found, size=size, profile=profile)
    for box, clipped in labels:
        shown = Finding(kind=kind, where=clipped, confidence=1.0, detector=_LABEL)
        yield SeenObject(
            kind=kind,
            box=(clipped.x0, clipped.y0, clipped.x1, clipped.y1),
            overlap=max((_iou(box, _corners(f)) for f in found), default=0.0),
            covered=covered_share(shown, covered, profile=profile),
        )


def _decode(image: LabelledImage) -> Image:
    try:
        with PillowImage.open(image.path, formats=_FORMATS) as opened:
            pixels = np.asarray(ImageOps.exif_transpose(opened).convert("RGB"), dtype=np.uint8)
    except (OSError, ValueError, SyntaxError) as error:
        raise MalformedItemError(f"{image.name} cannot be decoded: {error}") from error
    size = (pixels.shape[1], pixels.shape[0])
    if image.size is not None and image.size != size:
        raise MalformedItemError(f"{image.name} is not what was labelled (got {size}, expected {image.size})")
    return pixels


def _find(
    image: Image, detectors: Sequence[Detector], thresholds: Mapping[FindingKind, float]
) -> list[Finding]:
    """What all detectors find, each kind from its own threshold on, as cleansing does."""
    found: list[Finding] = []
    for detector in detectors:
        lowest = min(thresholds[k] for k in detector.kinds if k in thresholds)
        found += [
            f
            for f in detector.detect(image, threshold=lowest)
            if f.kind in thresholds and f.confidence >= thresholds[f.kind]
        ]
    return found


def _clipped(label: LabelledBox, size: tuple[int, int], name: str) -> PixelBox:
    x0, y0, x1, y1 = label.box
    left, top = min(max(0, round(x0)), size[0]), min(max(0, round(y0)), size[1])
    right, bottom = min(size[0], max(left + 1, round(x1))), min(size[1], max(top + 1, round(y1)))
    if left >= right or top >= bottom:
        raise MalformedItemError(f"a label lies outside {name} (got {label.box}, expected inside {size})")
    return PixelBox(x0=left, y0=top, x1=right, y1=bottom)


def _corners(finding: Finding) -> Corners:
    box = finding.where
    if not isinstance(box, PixelBox):
        raise TypeError(f"a detection of a picture has a pixel box (got {type(box).__name__})")
    return box.x0, box.y0, box.x1, box.y1


def _area(box: Corners) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def _shared(a: Corners, b: Corners) -> float:
    return _area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))


def _iou(a: Corners, b: Corners) -> float:
    shared = _shared(a, b)
    return shared / (_area(a) + _area(b) - shared)


def _unmatched(box: Corners, labels: Sequence[Corners], excused: Sequence[Corners]) -> bool:
    """Whether a detection meets no label; half inside a region that does not count it is excused (as COCO)."""
    if any(_iou(box, label) >= MATCHING for label in labels):
        return False
    return all(_shared(box, region) < MATCHING * _area(box) for region in excused)
