"""Label sets as ASAM OpenLABEL 1.0 JSON and back, without loss.

Boxes are ``[centre x, centre y, width, height]``, cuboids ``[x, y, z, qx, qy, qz, qw, length, width, height]``,
polygons ``MODE_POLY2D_ABSOLUTE``. What OpenLABEL has no field for stands in attributes of the shapes, in
properties of the frames and in the metadata, under names that begin with ``fleetgate:``.
"""

import json
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any, Final, NoReturn

import rfc8785
from kognic.openlabel.models import OpenLabelAnnotation  # type: ignore[import-untyped]
from openlabel_checker import check_text  # type: ignore[import-untyped]
from openlabel_checker.models import Severity  # type: ignore[import-untyped]

from pipeline.labelling.errors import LabelOntologyError, OpenLabelError
from pipeline.labelling.geometry import BoundingBox, Cuboid, Geometry, Polygon
from pipeline.labelling.label_set import (
    Label,
    LabelledFrame,
    LabelledObject,
    LabelSet,
    Lineage,
    ReviewState,
    new_label_set,
)
from pipeline.labelling.ontology import GeometryKind, LabelOntology

SCHEMA_VERSION: Final = "1.0.0"
VERSION: Final = 1

_OWN: Final = "fleetgate:"
_TYPE: Final = {
    GeometryKind.BBOX: "bbox",
    GeometryKind.POLYGON: "poly2d",
    GeometryKind.CUBOID: "cuboid",
}
_ONTOLOGY_UID: Final = "0"
_ABSOLUTE: Final = "MODE_POLY2D_ABSOLUTE"


def write_openlabel(labels: LabelSet) -> bytes:
    """The document of a label set in RFC 8785 form: equal sets have equal bytes and one digest.

    Raises:
        OpenLabelError: The checker of OpenLABEL faults it.
    """
    numbers = {item: number for number, item in enumerate(labels.frames)}
    document: dict[str, Any] = {
        "openlabel": {
            "metadata": _metadata(labels),
            "ontologies": {_ONTOLOGY_UID: {"uri": _uri(labels.ontology)}},
            "coordinate_systems": {each: {"type": "local", "parent": ""} for each in _spaces(labels)},
            "frame_intervals": [{"frame_start": 0, "frame_end": len(labels.frames) - 1}],
            "frames": _frames(labels, numbers),
            "objects": _objects(labels, numbers),
        }
    }
    content = rfc8785.dumps(document)
    _conform(content)
    return content


def read_openlabel(content: bytes, ontology: LabelOntology) -> LabelSet:
    """Read a document that ``write_openlabel`` wrote.

    1. It is JSON without names twice and without NaN, and the checker of OpenLABEL 1.0 finds no fault.
    2. Its metadata name a release, a code version and the digest of just this ontology.
    3. The digests of items in the metadata are those of the frames.
    4. Frames, objects and labels make a label set.

    Raises:
        OpenLabelError: Steps 1 to 3 fail, or a member is missing.
        LabelError: Step 4 fails.
        LabelOntologyError: The ontology is another one, or step 4 finds what it does not have.
    """
    _conform(content)  # 1
    document = json.loads(content)["openlabel"]
    try:
        own = document["metadata"][f"{_OWN}labels"]
        _hold_ontology(own["ontology"], ontology)  # 2
        lineage = Lineage(
            release=str(own["release"]["id"]),
            release_digest=str(own["release"]["digest"]),
            code=str(own["code"]),
            artefacts=tuple(str(each) for each in own["artefacts"]),
        )
        numbered = sorted(document["frames"].items(), key=lambda each: int(each[0]))
        frames = [_frame(entry["frame_properties"]) for _, entry in numbered]
        digests = sorted({frame.sha256 for frame in frames})
        if own["version"] != VERSION or own["items"] != digests:  # 3
            raise OpenLabelError(
                f"metadata (got version {own['version']!r} and {len(own['items'])} digests of items, expected "
                f"version {VERSION} and those of the {len(frames)} frames)"
            )
        objects = [
            LabelledObject(id=uid, label_class=str(entry["type"]))
            for uid, entry in document["objects"].items()
        ]
        labels = [
            _label(frame.item, uid, kind, shape)
            for frame, (_, entry) in zip(frames, numbered, strict=True)
            for uid, held in entry.get("objects", {}).items()
            for kind, name in _TYPE.items()
            for shape in held["object_data"].get(name, [])
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise OpenLabelError(f"OpenLABEL of Fleetgate: {type(error).__name__}: {error}") from error
    return new_label_set(ontology, lineage, frames, objects, labels)  # 4


def openlabel_digest(content: bytes) -> str:
    """The digest by which lineage knows a document."""
    return sha256(content).hexdigest()


def _metadata(labels: LabelSet) -> dict[str, Any]:
    lineage, ontology = labels.lineage, labels.ontology
    return {
        "schema_version": SCHEMA_VERSION,
        f"{_OWN}labels": {
            "version": VERSION,
            "release": {"id": lineage.release, "digest": lineage.release_digest},
            "items": sorted({frame.sha256 for frame in labels.frames.values()}),
            "artefacts": list(lineage.artefacts),
            "code": lineage.code,
            "ontology": {"name": ontology.name, "version": ontology.version, "digest": ontology.digest},
        },
    }


def _spaces(labels: LabelSet) -> list[str]:
    shapes = (label.geometry for label in labels.labels.values())
    return sorted({shape.frame for shape in shapes if isinstance(shape, Cuboid)})


def _frames(labels: LabelSet, numbers: Mapping[str, int]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for item, frame in labels.frames.items():
        properties: dict[str, Any] = {
            f"{_OWN}item": frame.item,
            f"{_OWN}sha256": frame.sha256,
            f"{_OWN}width": frame.width,
            f"{_OWN}height": frame.height,
            f"{_OWN}sequence": frame.sequence,
        }
        if frame.time_us is not None:
            properties |= {"timestamp": f"{frame.time_us / 1e6:.6f}", f"{_OWN}time_us": frame.time_us}
        found[str(numbers[item])] = {"frame_properties": properties, "objects": {}}
    for label in labels.labels.values():
        objects = found[str(numbers[label.item])]["objects"]
        data = objects.setdefault(label.object_id, {"object_data": {}})["object_data"]
        data[_TYPE[label.geometry.kind]] = [_shape(label)]
    return found


def _objects(labels: LabelSet, numbers: Mapping[str, int]) -> dict[str, Any]:
    seen: dict[str, dict[GeometryKind, set[int]]] = {each: {} for each in labels.objects}
    for item, object_id, kind in labels.labels:
        seen[object_id].setdefault(kind, set()).add(numbers[item])
    return {
        each: {
            "name": each,
            "type": known.label_class,
            "ontology_uid": _ONTOLOGY_UID,
            "frame_intervals": _intervals(set().union(*seen[each].values())),
            "object_data_pointers": {
                kind.value: {"type": _TYPE[kind], "frame_intervals": _intervals(places)}
                for kind, places in seen[each].items()
            },
        }
        for each, known in labels.objects.items()
    }


def _intervals(places: Iterable[int]) -> list[dict[str, int]]:
    found: list[dict[str, int]] = []
    for place in sorted(places):
        if found and found[-1]["frame_end"] == place - 1:
            found[-1]["frame_end"] = place
        else:
            found.append({"frame_start": place, "frame_end": place})
    return found


def _shape(label: Label) -> dict[str, Any]:
    said: dict[str, list[dict[str, Any]]] = {}
    own = {
        f"{_OWN}source": label.source,
        f"{_OWN}confidence": label.confidence,
        f"{_OWN}key": label.key,
        f"{_OWN}review": label.review.value,
        f"{_OWN}reviewer": label.reviewer,
    }
    for name, value in [*label.attributes.items(), *own.items()]:
        if value is not None:
            kind = "boolean" if isinstance(value, bool) else "text" if isinstance(value, str) else "num"
            said.setdefault(kind, []).append({"name": name, "val": value})
    return {"name": label.geometry.kind.value, "attributes": said, **_values(label.geometry)}


def _values(shape: Geometry) -> dict[str, Any]:
    match shape:
        case BoundingBox():
            centre = [shape.x + shape.width / 2, shape.y + shape.height / 2]
            return {"val": [*centre, shape.width, shape.height]}
        case Polygon():
            return {"val": [n for point in shape.points for n in point], "mode": _ABSOLUTE, "closed": True}
        case Cuboid():
            return {"val": [*shape.centre, *shape.quaternion, *shape.size], "coordinate_system": shape.frame}


def _frame(properties: Mapping[str, Any]) -> LabelledFrame:
    return LabelledFrame(
        item=properties[f"{_OWN}item"],
        sha256=properties[f"{_OWN}sha256"],
        width=properties[f"{_OWN}width"],
        height=properties[f"{_OWN}height"],
        time_us=properties.get(f"{_OWN}time_us"),
        sequence=properties[f"{_OWN}sequence"],
    )


def _label(item: str, object_id: str, kind: GeometryKind, shape: Mapping[str, Any]) -> Label:
    said = {each["name"]: each["val"] for held in shape["attributes"].values() for each in held}
    own = {name.removeprefix(_OWN): said.pop(name) for name in list(said) if name.startswith(_OWN)}
    return Label(
        item=item,
        object_id=object_id,
        geometry=_geometry(kind, shape),
        source=own["source"],
        confidence=own.get("confidence"),
        attributes=said,
        key=own["key"],
        review=ReviewState(own["review"]),
        reviewer=own.get("reviewer"),
    )


def _geometry(kind: GeometryKind, shape: Mapping[str, Any]) -> Geometry:
    values = shape["val"]
    match kind:
        case GeometryKind.BBOX:
            x, y, width, height = values
            return BoundingBox(x=x - width / 2, y=y - height / 2, width=width, height=height)
        case GeometryKind.POLYGON:
            if shape["mode"] != _ABSOLUTE or shape["closed"] is not True:
                raise ValueError(f"polygon (got mode {shape['mode']!r}, expected {_ABSOLUTE!r}, closed)")
            return Polygon(points=tuple(zip(values[::2], values[1::2], strict=True)))
        case GeometryKind.CUBOID:
            x, y, z, qx, qy, qz, qw, length, width, height = values
            return Cuboid(
                centre=(x, y, z),
                quaternion=(qx, qy, qz, qw),
                size=(length, width, height),
                frame=shape["coordinate_system"],
            )


def _hold_ontology(said: Mapping[str, Any], ontology: LabelOntology) -> None:
    expected = {"name": ontology.name, "version": ontology.version, "digest": ontology.digest}
    if said != expected:
        raise LabelOntologyError(f"ontology of the label set (got {dict(said)}, expected {expected})")


def _conform(content: bytes) -> None:
    try:
        text = content.decode("utf-8")
        document = json.loads(text, parse_constant=_no_number, object_pairs_hook=_once)
        report = check_text(text, "label set")
        OpenLabelAnnotation.model_validate(document)
    except (ValueError, RecursionError, AttributeError, TypeError) as error:
        raise OpenLabelError(f"OpenLABEL {SCHEMA_VERSION}: {error}") from error
    faults = [issue for issue in report.issues if issue.severity is not Severity.INFO]
    if faults:
        first = faults[0]
        raise OpenLabelError(
            f"OpenLABEL {SCHEMA_VERSION}: {first.checker_id} at {first.path}: {first.message} "
            f"(got {len(faults)} faults, expected none)"
        )


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"members (got {twice} twice, expected once)")
    return found


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON")


def _uri(ontology: LabelOntology) -> str:
    return f"urn:fleetgate:ontology:{ontology.name}:{ontology.version}:sha256:{ontology.digest}"
