"""Labelled sets of pictures, by which detectors are evaluated; seven formats of labels."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from anonymize.errors import MalformedItemError
from anonymize.finding import FindingKind
from anonymize.media import labelled_formats as formats
from anonymize.media.labelled_formats import RawImage

IGNORE: Final = "ignore"

_NAMES: Mapping[FindingKind, tuple[str, ...]] = {
    FindingKind.FACE: ("face", "head", "with_mask", "without_mask", "mask_weared_incorrect",
                       "con_mascarilla", "sin_mascarilla", "mascarilla_mal_puesta"),
    FindingKind.PLATE: ("plate", "license-plate", "license_plate", "license plate", "licence_plate",
                        "licence-plate", "licence plate", "number_plate", "numberplate", "lp"),
    FindingKind.LIMIT_SIGN: ("limit_sign", "height_limit", "weight_limit", "width_limit", "axle_limit"),
}  # fmt: skip
KNOWN_CLASSES: Final[Mapping[str, FindingKind]] = {n: k for k, names in _NAMES.items() for n in names}
"""Class names of public sets; any other name must be mapped by whoever opens the set."""

_READERS: Mapping[str, Callable[[Path], Iterable[RawImage]]] = {
    "voc": formats.read_voc,
    "dlib": formats.read_dlib,
    "easypr": formats.read_easypr,
    "ccpd": formats.read_ccpd,
    "openalpr": formats.read_openalpr,
    "yolo": formats.read_yolo,
    "coco": formats.read_coco,
}
FORMATS: Final = tuple(_READERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledBox:
    """A labelled object.

    Attributes:
        kind: What it is; None of an object that was mapped to ``ignore``.
        box: x0, y0, x1, y1 in pixels; may be fractional and reach beyond the picture.
        ignore: Neither missing it nor finding it counts (crowds, ``difficult``, mapped to ``ignore``).
    """

    kind: FindingKind | None
    box: tuple[float, float, float, float]
    ignore: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledImage:
    """A picture and its labelled objects.

    Attributes:
        path: Where it lies.
        name: Its path relative to the set, with ``/``.
        boxes: Its labels; may be empty.
        size: Width and height that the labels were made for, where the format says.
    """

    path: Path
    name: str
    boxes: tuple[LabelledBox, ...]
    size: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledSet:
    """A set that was opened.

    Attributes:
        name: Name of the set.
        format: Format of its labels.
        images: Pictures that are there, sorted by name; never empty.
        absent: Names of labelled pictures whose file is not there.
        complete: Whether every object of the kinds is labelled.
    """

    name: str
    format: str
    images: tuple[LabelledImage, ...]
    absent: tuple[str, ...]
    complete: bool


def open_labelled(
    path: Path,
    label_format: str,
    *,
    classes: Mapping[str, str] | None = None,
    complete: bool = False,
    name: str | None = None,
) -> LabelledSet:
    """Read the labels of a set; pictures are not opened.

    Args:
        path: Folder of the set; for ``coco`` the JSON file or the folder that holds exactly one.
        label_format: One of ``FORMATS``.
        classes: Class names of the set mapped to kinds, or to ``ignore``, beyond ``KNOWN_CLASSES``.
        complete: Say that every object is labelled, so that other detections are false positives.
        name: Name of the set; by default the folder's.

    Raises:
        MalformedItemError: The format is unknown, nothing labelled is there, labels are malformed, or a class
            name is not mapped.
    """
    if label_format not in _READERS:
        raise MalformedItemError(f"unknown label format (got {label_format!r}, expected one of {FORMATS})")
    root = path if path.is_dir() else path.parent
    kinds = _kinds(classes or {})
    images, absent = [], []
    for raw in sorted(_READERS[label_format](path), key=lambda image: str(image.path)):
        shown = raw.path.relative_to(root).as_posix() if raw.path.is_relative_to(root) else raw.path.name
        if not raw.path.is_file():
            absent.append(shown)
            continue
        boxes = tuple(_box(b, kinds, shown) for b in raw.boxes)
        images.append(LabelledImage(path=raw.path, name=shown, boxes=boxes, size=raw.size))
    if not images:
        raise MalformedItemError(f"no labelled picture is there (got {str(path)!r} as {label_format})")
    if len({i.name for i in images}) != len(images):
        raise MalformedItemError(f"a picture is labelled twice (got {str(path)!r} as {label_format})")
    return LabelledSet(
        name=name or root.resolve().name,
        format=label_format,
        images=tuple(images),
        absent=tuple(absent),
        complete=complete,
    )


def _kinds(classes: Mapping[str, str]) -> dict[str, FindingKind | None]:
    known: dict[str, FindingKind | None] = dict(KNOWN_CLASSES)
    for label, kind in classes.items():
        if kind != IGNORE and kind not in set(FindingKind):
            raise MalformedItemError(
                f"class {label!r} is mapped to no kind (got {kind!r}, expected {IGNORE!r} or a finding kind)"
            )
        known[label.lower()] = None if kind == IGNORE else FindingKind(kind)
    return known


def _box(raw: formats.RawBox, kinds: Mapping[str, FindingKind | None], image: str) -> LabelledBox:
    label = raw.label.lower()
    if label not in kinds:
        raise MalformedItemError(f"class of a label in {image} is not mapped to a kind (got {raw.label!r})")
    x0, y0, x1, y1 = raw.box
    if not (x0 < x1 and y0 < y1):
        raise MalformedItemError(f"label in {image} is empty (got {raw.box})")
    kind = kinds[label]
    return LabelledBox(kind=kind, box=raw.box, ignore=raw.ignore or kind is None)
