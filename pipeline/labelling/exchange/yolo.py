"""YOLO: ``data.yaml`` with the names of classes, and a text file of boxes or polygons for each picture."""

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, Final

import yaml

from pipeline.labelling.errors import ExchangeError
from pipeline.labelling.exchange.class_map import ClassMap
from pipeline.labelling.exchange.foreign import Exported, ForeignLabel, LeftOut, placed
from pipeline.labelling.geometry import BoundingBox, Cuboid, Geometry, Polygon
from pipeline.labelling.label_set import LabelledFrame, LabelSet

_NAMES: Final = "data.yaml"
_BOX: Final = 4
_RING: Final = 6


def read_yolo(files: Mapping[str, bytes], base: LabelSet) -> Iterator[ForeignLabel]:
    """Labels of a folder: ``data.yaml`` and ``**/NAME.txt``, where NAME is an item without its ending.

    Sizes are those of the release: files of this format state none. A line may end with a confidence.

    Raises:
        ExchangeError: ``data.yaml`` is missing or has no names, a file belongs to no item or to two, or a line
            is none.
    """
    names = _names(files)
    stems: dict[str, list[LabelledFrame]] = {}
    for frame in base.frames.values():
        stems.setdefault(PurePosixPath(frame.item).stem, []).append(frame)
    for path, content in files.items():
        if not path.endswith(".txt"):
            continue
        frames = stems.get(PurePosixPath(path).stem, [])
        if len(frames) != 1:
            raise ExchangeError(
                f"{path} (got {len(frames)} items of that name, expected 1 of release {base.lineage.release!r})"
            )
        try:
            lines = content.decode("utf-8").splitlines()
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield _label(line.split(), names, frames[0], f"{path} line {number}")
        except ValueError as error:
            raise ExchangeError(f"{path}: {error}") from error


def write_yolo(labels: LabelSet, class_map: ClassMap) -> Exported:
    """Boxes and polygons of a set, a file for each frame, also for those without labels; no picture.

    Raises:
        ExchangeError: Two items differ in their ending alone, or the class map has two names for a class.
    """
    left_out = LeftOut()
    names = list(labels.ontology.classes)
    paths = {item: f"labels/{PurePosixPath(item).stem}.txt" for item in labels.frames}
    if len(set(paths.values())) != len(paths):
        raise ExchangeError(
            "items (got two that differ in their ending alone, expected names that YOLO tells apart)"
        )
    lines: dict[str, list[str]] = {item: [] for item in labels.frames}
    for label in labels.labels.values():
        frame, shape = labels.frames[label.item], label.geometry
        if isinstance(shape, Cuboid):
            left_out.shape(label)
            continue
        numbers = (
            _box(shape) if isinstance(shape, BoundingBox) else [n for point in shape.points for n in point]
        )
        sizes = frame.width, frame.height
        shares = [number / sizes[place % 2] for place, number in enumerate(numbers)]
        confidence = [] if label.confidence is None else [label.confidence]
        left_out.attributes(label.attributes)
        fields = [str(names.index(labels.class_of(label))), *(repr(each) for each in [*shares, *confidence])]
        lines[label.item].append(" ".join(fields))
    document = {"names": {n: class_map.foreign(name) for n, name in enumerate(names)}}
    files = {_NAMES: yaml.safe_dump(document, allow_unicode=True).encode()}
    files |= {paths[item]: "".join(f"{line}\n" for line in found).encode() for item, found in lines.items()}
    return Exported(files=files, left_out=left_out)


def _names(files: Mapping[str, bytes]) -> dict[int, str]:
    path = next((each for each in files if PurePosixPath(each).name == _NAMES), None)
    if path is None:
        raise ExchangeError(f"{_NAMES} (got none, expected one with the names of classes)")
    try:
        names: Any = yaml.safe_load(files[path].decode("utf-8"))["names"]
        return {
            int(n): str(name) for n, name in (names.items() if isinstance(names, dict) else enumerate(names))
        }
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise ExchangeError(f"{path}: names: {type(error).__name__}: {error}") from error


def _label(fields: list[str], names: Mapping[int, str], frame: LabelledFrame, place: str) -> ForeignLabel:
    number = int(fields[0])
    if number not in names:
        raise ExchangeError(f"{place}: class (got {number}, expected one of {sorted(names)})")
    shares = [float(each) for each in fields[1:]]
    confidence = None
    if len(shares) % 2:
        confidence = shares.pop()
    if len(shares) != _BOX and len(shares) < _RING:
        raise ExchangeError(
            f"{place} (got {len(shares)} numbers, expected 4 of a box, or 6 and more of a polygon)"
        )
    sizes = frame.width, frame.height
    with placed(place):
        geometry = _geometry([share * sizes[at % 2] for at, share in enumerate(shares)], frame)
    return ForeignLabel(
        place=place,
        item=frame.item,
        label_class=names[number],
        geometry=geometry,
        confidence=confidence,
    )


def _box(shape: BoundingBox) -> list[float]:
    return [shape.x + shape.width / 2, shape.y + shape.height / 2, shape.width, shape.height]


def _geometry(numbers: list[float], frame: LabelledFrame) -> Geometry:
    if len(numbers) > _BOX:
        return Polygon(points=tuple(zip(numbers[::2], numbers[1::2], strict=True)))
    x, y, width, height = numbers
    left, top = _at_edge(x - width / 2, frame.width), _at_edge(y - height / 2, frame.height)
    right, bottom = _at_edge(x + width / 2, frame.width), _at_edge(y + height / 2, frame.height)
    return BoundingBox(x=left, y=top, width=right - left, height=bottom - top)


def _at_edge(value: float, size: int) -> float:
    """Programs write shares of six digits or so: what is off the picture by their rounding is at its edge."""
    slack = size * 2e-6
    if -slack <= value < 0:
        return 0.0
    return float(size) if size < value <= size + slack else value
