"""Readers of label formats, each as its own tools write it; class names are kept as they are."""

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError

import yaml
from defusedxml import DefusedXmlException, ElementTree
from PIL import Image

from anonymize.errors import MalformedItemError

Box = tuple[float, float, float, float]

_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
_IMAGE_FOLDERS = ("images", "JPEGImages", ".")
_MALFORMED = (ParseError, DefusedXmlException, ValueError, KeyError, TypeError, IndexError, yaml.YAMLError)


@dataclass(frozen=True, slots=True, kw_only=True)
class RawBox:
    """A label: class name, x0, y0, x1, y1 in pixels, and whether its format says to leave it out."""

    label: str
    box: Box
    ignore: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RawImage:
    """A labelled picture, which need not exist, and the size its labels were made for, where that is said."""

    path: Path
    boxes: tuple[RawBox, ...]
    size: tuple[int, int] | None = None


@contextmanager
def _labels_of(path: Path) -> Iterator[None]:
    """Name the file in whatever its labels provoke."""
    try:
        yield
    except _MALFORMED as error:
        raise MalformedItemError(f"labels of {path.name} are malformed: {error!r}") from error


def _root(path: Path) -> Element:
    root = ElementTree.parse(path).getroot()
    if root is None:
        raise ValueError("the document has no element")
    return root


def _number(element: Element, name: str) -> float:
    text = element.get(name) if element.get(name) is not None else element.findtext(name)
    value = float(text or "")
    if not math.isfinite(value):
        raise ValueError(f"{name} is not finite (got {text!r})")
    return value


def read_voc(root: Path) -> Iterator[RawImage]:
    """Pascal VOC: one XML per picture, anywhere below ``root``; corners in pixels.

    The picture has the XML's stem and lies beside it, or in ``images`` or ``JPEGImages`` beside its folder.
    ``difficult`` objects are left out, as the VOC evaluation does.
    """
    for path in root.rglob("*.xml"):
        with _labels_of(path):
            annotation = _root(path)
            if annotation.tag != "annotation":
                continue
            boxes = tuple(
                RawBox(
                    label=str(thing.findtext("name")).strip(),
                    box=_corners(thing),
                    ignore=(thing.findtext("difficult") or "0").strip() == "1",
                )
                for thing in annotation.iter("object")
            )
            size = annotation.find("size")
            stated = None if size is None else (int(_number(size, "width")), int(_number(size, "height")))
        yield RawImage(path=_picture_of(path), boxes=boxes, size=stated if stated and all(stated) else None)


def _corners(thing: Element) -> Box:
    frame = thing.find("bndbox")
    if frame is None:
        raise ValueError("an object has no bndbox")
    return _number(frame, "xmin"), _number(frame, "ymin"), _number(frame, "xmax"), _number(frame, "ymax")


def _picture_of(label: Path) -> Path:
    for folder in (label.parent, *(label.parent.parent / f for f in _IMAGE_FOLDERS)):
        for suffix in _SUFFIXES:
            for spelt in (suffix, suffix.upper()):
                if (candidate := folder / f"{label.stem}{spelt}").is_file():
                    return candidate
    return label.with_suffix(".jpg")


def read_dlib(root: Path) -> Iterator[RawImage]:
    """The imglab XML of dlib, every ``*.xml`` in ``root`` with a ``dataset``; boxes without a label are faces."""
    for path in root.glob("*.xml"):
        with _labels_of(path):
            dataset = _root(path)
            if dataset.tag != "dataset":
                continue
            for image in dataset.iter("image"):
                boxes = []
                for box in image.iter("box"):
                    left, top = _number(box, "left"), _number(box, "top")
                    corners = (left, top, left + _number(box, "width"), top + _number(box, "height"))
                    label = (box.findtext("label") or "face").strip()
                    boxes.append(RawBox(label=label, box=corners, ignore=box.get("ignore") == "1"))
                yield RawImage(path=root / image.attrib["file"], boxes=tuple(boxes))


def read_easypr(root: Path) -> Iterator[RawImage]:
    """EasyPR's tag set: x and y are the centre of a rotated rectangle; its axis-aligned hull is the label."""
    for path in root.glob("*.xml"):
        with _labels_of(path):
            tagset = _root(path)
            if tagset.tag != "tagset":
                continue
            for image in tagset.iter("image"):
                boxes = []
                for tag in image.iter("taggedRectangle"):
                    x, y, w, h = (_number(tag, k) for k in ("x", "y", "width", "height"))
                    turn = math.radians(_number(tag, "rotation"))
                    c, s = abs(math.cos(turn)), abs(math.sin(turn))
                    half_w, half_h = (w * c + h * s) / 2, (w * s + h * c) / 2
                    corners = (x - half_w, y - half_h, x + half_w, y + half_h)
                    boxes.append(RawBox(label="plate", box=corners))
                yield RawImage(path=root / f"{image.findtext('imageName')}.jpg", boxes=tuple(boxes))


def read_ccpd(root: Path) -> Iterator[RawImage]:
    """CCPD: the third field of a picture's name is its plate's box, ``x0&y0_x1&y1``."""
    for path in root.glob("*.jpg"):
        with _labels_of(path):
            x0, y0, x1, y1 = (float(v) for v in re.findall(r"\d+", path.stem.split("-")[2]))
        yield RawImage(path=path, boxes=(RawBox(label="plate", box=(x0, y0, x1, y1)),))


def read_openalpr(root: Path) -> Iterator[RawImage]:
    """OpenALPR's benchmark: one tab-separated line ``file x y width height text`` for each plate."""
    boxes: defaultdict[str, list[RawBox]] = defaultdict(list)
    for path in root.glob("*.txt"):
        with _labels_of(path):
            for line in path.read_text(encoding="utf-8").splitlines():
                if not line.strip():
                    continue
                file, *numbers = line.split("\t")[:5]
                x, y, w, h = (float(v) for v in numbers)
                boxes[file].append(RawBox(label="plate", box=(x, y, x + w, y + h)))
    for file, found in boxes.items():
        yield RawImage(path=root / file, boxes=tuple(found))


def read_yolo(root: Path) -> Iterator[RawImage]:
    """YOLO: ``data.yaml`` with ``names``; ``labels/**.txt`` beside ``images/**`` with centre and size as shares.

    A picture without a file of labels is a background, as ultralytics takes it.
    """
    path = root / "data.yaml"
    with _labels_of(path):
        if not path.is_file():
            raise ValueError("there is no data.yaml beside the images")
        names = yaml.safe_load(path.read_text(encoding="utf-8"))["names"]
        named = dict(enumerate(names)) if isinstance(names, list) else {int(k): v for k, v in names.items()}
    for picture in (p for p in (root / "images").rglob("*") if p.suffix.lower() in _SUFFIXES):
        label = (root / "labels" / picture.relative_to(root / "images")).with_suffix(".txt")
        with _labels_of(label), Image.open(picture) as opened:
            lines = label.read_text(encoding="utf-8").split("\n") if label.is_file() else []
            boxes = tuple(_yolo_box(line, named, opened.size) for line in lines if line.strip())
            yield RawImage(path=picture, boxes=boxes, size=opened.size)


def _yolo_box(line: str, names: dict[int, str], size: tuple[int, int]) -> RawBox:
    index, *numbers = line.split()
    x, y, w, h = (float(v) for v in numbers)
    if not all(0.0 <= v <= 1.0 for v in (x, y, w, h)):
        raise ValueError(f"shares must lie in [0, 1] (got {line!r})")
    corners = ((x - w / 2) * size[0], (y - h / 2) * size[1], (x + w / 2) * size[0], (y + h / 2) * size[1])
    return RawBox(label=str(names[int(index)]), box=corners)


def read_coco(path: Path) -> Iterator[RawImage]:
    """COCO instances: ``bbox`` is x, y, width and height; crowds are left out.

    Pictures lie beside the JSON file, or in ``images`` beside it or beside its folder.
    """
    file = path if path.is_file() else _only_json(path)
    with _labels_of(file):
        document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        names = {c["id"]: str(c["name"]) for c in document["categories"]}
        boxes: defaultdict[int, list[RawBox]] = defaultdict(list)
        for a in document["annotations"]:
            x, y, w, h = (float(v) for v in a["bbox"])
            crowd = bool(a.get("iscrowd", 0))
            boxes[a["image_id"]].append(
                RawBox(label=names[a["category_id"]], box=(x, y, x + w, y + h), ignore=crowd)
            )
        for image in document["images"]:
            name = str(image["file_name"])
            places = [f / name for f in (file.parent, file.parent / "images", file.parent.parent / "images")]
            there = next((p for p in places if p.is_file()), places[0])
            size = (int(image["width"]), int(image["height"]))
            yield RawImage(path=there, boxes=tuple(boxes[image["id"]]), size=size)


def _only_json(folder: Path) -> Path:
    found = sorted(folder.glob("*.json")) or sorted((folder / "annotations").glob("*.json"))
    if len(found) != 1:
        raise MalformedItemError(
            f"one JSON file of labels is expected (got {[f.name for f in found]} in {folder.name})"
        )
    return found[0]
