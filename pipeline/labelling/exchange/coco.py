"""COCO: one JSON file of images, categories and annotations (boxes, and polygons as segmentations of one ring)."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from shapely.geometry import Polygon as Ring

from pipeline.labelling.errors import ExchangeError
from pipeline.labelling.exchange.class_map import ClassMap
from pipeline.labelling.exchange.foreign import (
    Exported,
    ForeignLabel,
    LeftOut,
    as_json,
    frame_of,
    placed,
    read_json,
)
from pipeline.labelling.geometry import BoundingBox, Cuboid, Geometry, Polygon
from pipeline.labelling.label_set import LabelSet

_FILE: Final = "instances.json"
_TRACK: Final = "track_id"


def read_coco(files: Mapping[str, bytes], base: LabelSet) -> Iterator[ForeignLabel]:
    """Labels of the JSON files of a folder; attributes and track ids as datumaro and CVAT write them.

    Raises:
        ExchangeError: A file is malformed, names pictures that are not there or of another size, or has
            segmentations that are not one polygon.
    """
    for path, content in files.items():
        document = read_json(content, path)
        try:
            names = {each["id"]: str(each["name"]) for each in document["categories"]}
            items = {
                each["id"]: frame_of(
                    base, each["file_name"], (each["width"], each["height"]), f"{path} image {each['id']!r}"
                ).item
                for each in document["images"]
            }
            for each in document["annotations"]:
                yield _label(each, names, items, path)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ExchangeError(f"{path}: {type(error).__name__}: {error}") from error


def write_coco(labels: LabelSet, class_map: ClassMap) -> Exported:
    """Boxes and polygons of a set; cuboids are left out.

    Raises:
        ExchangeError: The class map has two names for a class.
    """
    left_out = LeftOut()
    names = [class_map.foreign(each) for each in labels.ontology.classes]
    numbers = {own: number for number, own in enumerate(labels.ontology.classes, start=1)}
    items = {item: number for number, item in enumerate(labels.frames, start=1)}
    annotations: list[dict[str, Any]] = []
    for label in labels.labels.values():
        if isinstance(label.geometry, Cuboid):
            left_out.shape(label)
            continue
        left, top, right, bottom = label.geometry.extent
        ring = label.geometry.points if isinstance(label.geometry, Polygon) else None
        annotation = {
            "id": len(annotations) + 1,
            "image_id": items[label.item],
            "category_id": numbers[labels.class_of(label)],
            "bbox": [left, top, right - left, bottom - top],
            "area": (right - left) * (bottom - top) if ring is None else Ring(ring).area,
            "segmentation": [] if ring is None else [[number for point in ring for number in point]],
            "iscrowd": 0,
            "attributes": {**label.attributes, _TRACK: int(label.object_id)}
            if label.object_id.isdecimal()
            else {**label.attributes, _TRACK: label.object_id},
        }
        if label.confidence is not None:
            annotation["score"] = label.confidence
        annotations.append(annotation)
    document = {
        "images": [
            {"id": items[f.item], "file_name": f.item, "width": f.width, "height": f.height}
            for f in labels.frames.values()
        ],
        "categories": [{"id": n, "name": name, "supercategory": ""} for n, name in enumerate(names, start=1)],
        "annotations": annotations,
    }
    return Exported(files={_FILE: as_json(document)}, left_out=left_out)


def _label(
    annotation: Mapping[str, Any], names: Mapping[Any, str], items: Mapping[Any, str], path: str
) -> ForeignLabel:
    place = f"{path} annotation {annotation.get('id')!r}"
    image, category = annotation["image_id"], annotation["category_id"]
    if image not in items or category not in names:
        raise ExchangeError(
            f"{place} (got image {image!r} and category {category!r}, expected declared ones)"
        )
    said = dict(annotation.get("attributes", {}))
    track = said.pop(_TRACK, annotation.get(_TRACK))
    score = annotation.get("score")
    with placed(place):
        geometry = _geometry(annotation)
    return ForeignLabel(
        place=place,
        item=items[image],
        label_class=names[category],
        geometry=geometry,
        track=None if track is None else str(track),
        confidence=None if score is None else float(score),
        attributes=said,
    )


def _geometry(annotation: Mapping[str, Any]) -> Geometry:
    rings = annotation.get("segmentation") or []
    if annotation.get("iscrowd") or not isinstance(rings, list) or len(rings) > 1:
        raise ExchangeError("segmentation (got a mask, a crowd or several rings, expected one ring or none)")
    if not rings:
        x, y, width, height = annotation["bbox"]
        return BoundingBox(x=x, y=y, width=width, height=height)
    return Polygon(points=tuple(zip(rings[0][::2], rings[0][1::2], strict=True)))
