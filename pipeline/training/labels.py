"""Labels of pictures from a COCO file: boxes of known classes, inside pictures of known size."""

import io
import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, NoReturn

from PIL import Image, UnidentifiedImageError

from pipeline.training.errors import LabelFileError

_SLACK_PX: Final = 0.5  # annotation programs round coordinates


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A labelled box in pixels, origin at the upper left."""

    label: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureLabels:
    """What is labelled in one picture; a picture without boxes is an example of none."""

    width: int
    height: int
    boxes: tuple[Box, ...]

    def document(self) -> dict[str, Any]:
        """As plain values, the way shards keep them."""
        return {
            "width": self.width,
            "height": self.height,
            "boxes": [
                {"class": b.label, "x": b.x, "y": b.y, "width": b.width, "height": b.height}
                for b in self.boxes
            ],
        }


def read_picture_labels(content: bytes) -> PictureLabels:
    """Labels of one picture, as ``PictureLabels.document`` told them and shards keep them.

    Raises:
        LabelFileError: It is something else.
    """
    try:
        document = json.loads(content)
        return PictureLabels(
            width=int(document["width"]),
            height=int(document["height"]),
            boxes=tuple(
                Box(
                    label=str(each["class"]),
                    x=float(each["x"]),
                    y=float(each["y"]),
                    width=float(each["width"]),
                    height=float(each["height"]),
                )
                for each in document["boxes"]
            ),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise LabelFileError(f"labels of a picture: {type(error).__name__}: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelFile:
    """A file of labels that was checked.

    Attributes:
        sha256: Digest of the file.
        classes: Classes that it declares, sorted.
        pictures: Labels by ``file_name``.
    """

    sha256: str
    classes: tuple[str, ...]
    pictures: Mapping[str, PictureLabels]


def read_coco(content: bytes, classes: Collection[str] | None = None) -> LabelFile:
    """Read a COCO file of boxes.

    Args:
        content: The file.
        classes: Classes that are known; by default those that it declares.

    Raises:
        LabelFileError: It is malformed, declares a class that is not known, or a box is no box inside its picture.
    """
    try:
        document = json.loads(content, parse_constant=_no_number)
        names = {int(each["id"]): str(each["name"]) for each in document["categories"]}
        pictures = {int(each["id"]): each for each in document["images"]}
        boxes: dict[int, list[Box]] = {number: [] for number in pictures}
        if unknown := sorted(set(names.values()) - set(names.values() if classes is None else classes)):
            raise LabelFileError(f"classes (got {unknown}, expected of {sorted(classes or ())})")
        if len(pictures) != len(document["images"]) or len(set(names.values())) != len(
            document["categories"]
        ):
            raise LabelFileError("ids of images and categories (expected distinct ones)")
        for annotation in document["annotations"]:
            _add(annotation, names, pictures, boxes)
        found = {
            str(each["file_name"]): PictureLabels(
                width=_extent(each, "width"), height=_extent(each, "height"), boxes=tuple(boxes[number])
            )
            for number, each in pictures.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LabelFileError(f"COCO file: {type(error).__name__}: {error}") from error
    if not found or len(found) != len(pictures):
        raise LabelFileError(f"images (got {len(pictures)} with {len(found)} names, expected distinct names)")
    return LabelFile(
        sha256=sha256(content).hexdigest(), classes=tuple(sorted(names.values())), pictures=found
    )


def hold_against_picture(name: str, labels: PictureLabels, content: bytes) -> None:
    """Refuse labels that were made for a picture of another size.

    Raises:
        LabelFileError: The sizes differ, or the content is no picture.
    """
    try:
        with Image.open(io.BytesIO(content)) as picture:
            size = picture.size
    except (UnidentifiedImageError, OSError) as error:
        raise LabelFileError(f"{name!r} is labelled and is no picture: {error}") from error
    if size != (labels.width, labels.height):
        raise LabelFileError(f"size of {name!r} (got {(labels.width, labels.height)}, expected {size})")


def _add(
    annotation: Mapping[str, Any],
    names: Mapping[int, str],
    pictures: Mapping[int, Mapping[str, Any]],
    boxes: Mapping[int, list[Box]],
) -> None:
    number, category = int(annotation["image_id"]), int(annotation["category_id"])
    if number not in pictures or category not in names:
        raise LabelFileError(
            f"annotation {annotation.get('id')!r} (got image {number}, category {category}, expected declared)"
        )
    x, y, width, height = (float(value) for value in annotation["bbox"])
    picture = pictures[number]
    inside = (
        all(math.isfinite(value) for value in (x, y, width, height))
        and min(width, height) > 0
        and min(x, y) >= -_SLACK_PX
        and x + width <= _extent(picture, "width") + _SLACK_PX
        and y + height <= _extent(picture, "height") + _SLACK_PX
    )
    if not inside:
        raise LabelFileError(
            f"box of annotation {annotation.get('id')!r} (got {annotation['bbox']}, expected inside "
            f"{picture['width']} x {picture['height']} of {picture.get('file_name')!r})"
        )
    boxes[number].append(Box(label=names[category], x=x, y=y, width=width, height=height))


def _extent(picture: Mapping[str, Any], field: str) -> int:
    value = picture[field]
    if type(value) is not int or value <= 0:
        raise LabelFileError(f"{field} of {picture.get('file_name')!r} (got {value!r}, expected pixels)")
    return value


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON")
