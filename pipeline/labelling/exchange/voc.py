"""Pascal VOC: an XML file of boxes for each picture; corners are those of half-open boxes, from 0."""

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Final

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from pipeline.labelling.errors import ExchangeError
from pipeline.labelling.exchange.class_map import ClassMap
from pipeline.labelling.exchange.foreign import Exported, ForeignLabel, LeftOut, frame_of, placed
from pipeline.labelling.geometry import BoundingBox
from pipeline.labelling.label_set import Label, LabelledFrame, LabelSet

_FLAGS: Final = ("truncated", "occluded", "difficult")
_CORNERS: Final = ("xmin", "ymin", "xmax", "ymax")


def read_voc(files: Mapping[str, bytes], base: LabelSet) -> Iterator[ForeignLabel]:
    """Labels of the XML files of a folder; a flag that is set is an attribute, with those of ``attributes``.

    Raises:
        ExchangeError: A file is malformed, or names a picture that is not there or of another size.
    """
    for path, content in files.items():
        try:
            root = fromstring(content)
            size = int(_text(root, "size/width")), int(_text(root, "size/height"))
            frame = frame_of(base, _text(root, "filename"), size, path)
            for number, each in enumerate(root.findall("object"), start=1):
                yield _label(each, frame, base, f"{path} object {number}")
        except (ET.ParseError, DefusedXmlException, ValueError) as error:
            raise ExchangeError(f"{path}: {type(error).__name__}: {error}") from error


def write_voc(labels: LabelSet, class_map: ClassMap) -> Exported:
    """Boxes of a set, a file for each frame, also for those without labels; other shapes are left out.

    Raises:
        ExchangeError: Two items differ in their ending alone, or the class map has two names for a class.
    """
    left_out = LeftOut()
    paths = {item: f"Annotations/{PurePosixPath(item).stem}.xml" for item in labels.frames}
    if len(set(paths.values())) != len(paths):
        raise ExchangeError(
            "items (got two that differ in their ending alone, expected names that VOC tells apart)"
        )
    roots = {item: _root(frame) for item, frame in labels.frames.items()}
    for label in labels.labels.values():
        if not isinstance(label.geometry, BoundingBox):
            left_out.shape(label)
            continue
        if label.confidence is not None:
            left_out.attributes(["confidence"])
        _add(roots[label.item], label, label.geometry, class_map.foreign(labels.class_of(label)))
    files = {}
    for item, root in roots.items():
        ET.indent(root)
        files[paths[item]] = ET.tostring(root, encoding="utf-8") + b"\n"
    return Exported(files=files, left_out=left_out)


def _root(frame: LabelledFrame) -> ET.Element:
    root = ET.Element("annotation")
    ET.SubElement(root, "filename").text = frame.item
    size = ET.SubElement(root, "size")
    for name, value in (("width", frame.width), ("height", frame.height), ("depth", 3)):
        ET.SubElement(size, name).text = str(value)
    ET.SubElement(root, "segmented").text = "0"
    return root


def _add(root: ET.Element, label: Label, box: BoundingBox, name: str) -> None:
    found = ET.SubElement(root, "object")
    ET.SubElement(found, "name").text = name
    for flag in _FLAGS:
        ET.SubElement(found, flag).text = str(int(label.attributes.get(flag) is True))
    corners = ET.SubElement(found, "bndbox")
    for corner, edge in zip(_CORNERS, box.extent, strict=True):
        ET.SubElement(corners, corner).text = repr(edge)
    said = {n: v for n, v in label.attributes.items() if not (n in _FLAGS and v is True)}
    attributes = ET.SubElement(found, "attributes")
    for each, value in said.items():
        attribute = ET.SubElement(attributes, "attribute")
        ET.SubElement(attribute, "name").text = each
        ET.SubElement(attribute, "value").text = str(value).lower() if isinstance(value, bool) else str(value)


def _label(each: ET.Element, frame: LabelledFrame, base: LabelSet, place: str) -> ForeignLabel:
    left, top, right, bottom = (float(_text(each, f"bndbox/{corner}")) for corner in _CORNERS)
    said: dict[str, bool | float | str] = {
        flag: True for flag in _FLAGS if each.findtext(flag) in {"1", "true"}
    }
    for attribute in each.findall("attributes/attribute"):
        said[_text(attribute, "name")] = _value(
            attribute.findtext("value") or "", base, _text(attribute, "name")
        )
    with placed(place):
        box = BoundingBox(x=left, y=top, width=right - left, height=bottom - top)
    return ForeignLabel(
        place=place,
        item=frame.item,
        label_class=_text(each, "name"),
        geometry=box,
        attributes=said,
    )


def _value(text: str, base: LabelSet, name: str) -> bool | float | str:
    """XML has texts only: the ontology says what the value of an attribute is."""
    declared = next(
        (c.attributes[name] for c in base.ontology.classes.values() if name in c.attributes), None
    )
    match declared.type.value if declared else "text":
        case "boolean" if text.lower() in {"true", "false"}:
            return text.lower() == "true"
        case "number":
            return float(text)
        case _:
            return text


def _text(element: ET.Element, path: str) -> str:
    found = element.findtext(path)
    if not found:
        raise ValueError(f"{path} (got nothing, expected a value)")
    return found
