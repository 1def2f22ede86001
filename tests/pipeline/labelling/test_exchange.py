"""COCO, YOLO, VOC and nuScenes: there and back, and what is refused with its place and value."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labelled_frames import HEIGHT, LINEAGE, MODEL, ONTOLOGY, WIDTH, WU, box, frame, small_set
from pipeline.errors import DestinationError
from pipeline.labelling.errors import ExchangeError
from pipeline.labelling.exchange.class_map import ClassMap, read_class_map
from pipeline.labelling.exchange.formats import (
    ExchangeFormat,
    export_labels,
    import_labels,
    read_files,
    write_files,
    write_whole,
)
from pipeline.labelling.geometry import Cuboid
from pipeline.labelling.label_set import Label, LabelledObject, LabelSet, new_label_set
from pipeline.labelling.ontology import GeometryKind

SAME = ClassMap()
EMPTY = new_label_set(ONTOLOGY, LINEAGE, small_set().frames.values())


def contents(labels: LabelSet, *, tracks: bool = True) -> set[Any]:
    """What a set says, whatever the ids of its objects."""
    said = {}
    for each in labels.labels.values():
        said.setdefault(each.object_id, set()).add(
            (
                each.item,
                labels.class_of(each),
                each.geometry,
                each.confidence,
                tuple(sorted(each.attributes.items())),
            )
        )
    return (
        {frozenset(each) for each in said.values()}
        if tracks
        else {row for each in said.values() for row in each}
    )


def only(labels: LabelSet, *kinds: GeometryKind) -> LabelSet:
    kept = [each for each in labels.labels.values() if each.geometry.kind in kinds]
    return new_label_set(ONTOLOGY, LINEAGE, labels.frames.values(), labels.objects.values(), kept)


def again(kind: ExchangeFormat, labels: LabelSet, class_map: ClassMap = SAME, **more: str) -> LabelSet:
    exported = export_labels(kind, labels, class_map=class_map, **more)
    return import_labels(kind, exported.files, EMPTY, source=WU, class_map=class_map, **more)


def test_coco_comes_back_with_boxes_polygons_tracks_and_attributes():
    labels = only(small_set(), GeometryKind.BBOX, GeometryKind.POLYGON)
    assert contents(again(ExchangeFormat.COCO, labels)) == contents(labels)
    assert export_labels(ExchangeFormat.COCO, small_set(), class_map=SAME).left_out == {"cuboid labels": 1}


def test_yolo_comes_back_with_boxes_polygons_and_confidences():
    bare = only(small_set(), GeometryKind.POLYGON)
    labels = bare.with_label(box(1, "0", x=3.25, y=7.5, confidence=0.5))
    found = again(ExchangeFormat.YOLO, labels)
    assert contents(found, tracks=False) == contents(labels, tracks=False)
    exported = export_labels(ExchangeFormat.YOLO, small_set(), class_map=SAME)
    assert exported.files["labels/000003.txt"] == b""
    assert exported.left_out["attribute occlusion"] == 1


def test_voc_comes_back_with_boxes_and_attributes():
    labels = only(small_set(), GeometryKind.BBOX).with_changed(
        box(0, attributes={"truncated": True, "moving": False, "visibility": 0.25, "note": "路口"})
    )
    assert contents(again(ExchangeFormat.VOC, labels), tracks=False) == contents(labels, tracks=False)


def in_space() -> LabelSet:
    def solid(number: int, object_id: str, x: float, **attributes: bool | float | str) -> Label:
        return Label(
            item=frame(number).item,
            object_id=object_id,
            geometry=Cuboid(
                centre=(x, 2, 1), size=(4.5, 1.9, 1.6), quaternion=(0, 0, 0.6, 0.8), frame="local"
            ),
            source=WU,
            attributes=attributes,
        )

    objects = [LabelledObject(id=str(n), label_class=c) for n, c in enumerate(["car", "pedestrian"])]
    labels = [solid(0, "0", 5, moving=True, occlusion="none"), solid(1, "0", 7), solid(1, "1", 9)]
    return new_label_set(ONTOLOGY, LINEAGE, EMPTY.frames.values(), objects, labels)


def test_nuscenes_comes_back_with_tracks_and_choices():
    labels = in_space()
    assert contents(again(ExchangeFormat.NUSCENES, labels)) == contents(labels)


def test_the_tables_of_nuscenes_refer_to_what_is_there():
    exported = export_labels(ExchangeFormat.NUSCENES, in_space(), class_map=SAME)
    tables = {Path(name).stem: json.loads(content) for name, content in exported.files.items()}
    tokens = {row["token"] for rows in tables.values() for row in rows}
    assert len(tokens) == sum(len(rows) for rows in tables.values())
    pointers = [
        value
        for rows in tables.values()
        for row in rows
        for name, value in row.items()
        if name.endswith("_token") or name in {"prev", "next"}
    ]
    assert set(pointers) <= tokens | {""}
    annotation = next(a for a in tables["sample_annotation"] if a["prev"])
    assert annotation["size"] == [1.9, 4.5, 1.6]
    assert annotation["rotation"] == [0.8, 0.0, 0.0, 0.6]
    assert {row["nbr_annotations"] for row in tables["instance"]} == {1, 2}


def test_tokens_of_two_releases_have_nothing_in_common():
    other = new_label_set(
        ONTOLOGY,
        type(LINEAGE)(release="rel-2", release_digest="d" * 64, code="x"),
        EMPTY.frames.values(),
        in_space().objects.values(),
        in_space().labels.values(),
    )
    exported = [
        export_labels(ExchangeFormat.NUSCENES, each, class_map=SAME).files for each in (in_space(), other)
    ]
    tokens = [
        {
            row["token"]
            for name, content in files.items()
            if "visibility" not in name
            for row in json.loads(content)
        }
        for files in exported
    ]
    assert not tokens[0] & tokens[1]


def test_no_file_that_is_written_names_anything_but_items_of_the_release():
    for kind in ExchangeFormat:
        labels = in_space() if kind is ExchangeFormat.NUSCENES else small_set()
        for name, content in export_labels(kind, labels, class_map=SAME).files.items():
            assert b"wu" not in content, name
            assert WU.encode() not in content, name


def test_classes_go_by_a_map_both_ways():
    class_map = read_class_map(
        b"format: fleetgate-class-map\nclasses: {vehicle.car: car, road: lane}\nattributes: {rotation: null}\n",
        ONTOLOGY,
    )
    labels = only(small_set(), GeometryKind.BBOX, GeometryKind.POLYGON)
    exported = export_labels(ExchangeFormat.COCO, labels, class_map=class_map)
    assert b"vehicle.car" in exported.files["instances.json"]
    assert contents(again(ExchangeFormat.COCO, labels, class_map)) == contents(labels)


def coco(change: Callable[[dict[str, Any]], object]) -> dict[str, bytes]:
    labels = only(small_set(), GeometryKind.BBOX, GeometryKind.POLYGON)
    document = json.loads(export_labels(ExchangeFormat.COCO, labels, class_map=SAME).files["instances.json"])
    change(document)
    return {"labels.json": json.dumps(document).encode()}


def text(kind: ExchangeFormat, name: str, old: bytes, new: bytes) -> dict[str, bytes]:
    files = dict(export_labels(kind, small_set(), class_map=SAME).files)
    assert old in files[name]
    return files | {name: files[name].replace(old, new)}


COCO, YOLO, VOC, NUSCENES = ExchangeFormat
REFUSED: dict[str, tuple[ExchangeFormat, Callable[[], dict[str, bytes]], str]] = {
    "a class of COCO": (
        COCO,
        lambda: coco(lambda d: d["categories"][0].update(name="unicorn")),
        "annotation 1: class .*'unicorn'",
    ),
    "a size of COCO": (
        COCO,
        lambda: coco(lambda d: d["images"][0].update(width=640)),
        r"000000.png.*\(640, 720\), expected \(1280, 720\)",
    ),
    "a picture of COCO": (
        COCO,
        lambda: coco(lambda d: d["images"][0].update(file_name="secret.png")),
        "secret.png",
    ),
    "a box of COCO": (
        COCO,
        lambda: coco(lambda d: d["annotations"][0].update(bbox=[1200, 0, 100, 50])),
        "annotation 1: .*1300",
    ),
    "NaN in COCO": (
        COCO,
        lambda: coco(lambda d: d["annotations"][0].update(bbox=[float("nan"), 0, 1, 1])),
        "NaN is no number",
    ),
    "a mask of COCO": (
        COCO,
        lambda: coco(lambda d: d["annotations"][0].update(segmentation={"counts": [1], "size": [1, 1]})),
        "expected one ring",
    ),
    "an attribute of COCO": (
        COCO,
        lambda: coco(lambda d: d["annotations"][0]["attributes"].update(mood="good")),
        "annotation 1: .*mood",
    ),
    "an image that is not declared": (
        COCO,
        lambda: coco(lambda d: d["annotations"][0].update(image_id=99)),
        "image 99",
    ),
    "no label": (COCO, lambda: coco(lambda d: d.update(annotations=[])), "got none"),
    "no JSON": (COCO, lambda: {"x.json": b"{"}, "x.json"),
    "a class of YOLO": (
        YOLO,
        lambda: text(YOLO, "labels/000000.txt", b"0 0.0", b"77 0.0"),
        "line 1: class .*77",
    ),
    "a line of YOLO": (
        YOLO,
        lambda: {"data.yaml": b"names: [car]", "000000.txt": b"0 0.5 0.5"},
        "got 2 numbers",
    ),
    "a file of YOLO": (YOLO, lambda: {"data.yaml": b"names: [car]", "x.txt": b"0 .5 .5 .1 .1"}, "x.txt"),
    "names of YOLO": (YOLO, lambda: {"000000.txt": b"0 .5 .5 .1 .1"}, "data.yaml"),
    "a share of YOLO": (
        YOLO,
        lambda: {"data.yaml": b"names: [car]", "000000.txt": b"0 .99 .5 .1 .1"},
        "line 1",
    ),
    "a size of VOC": (
        VOC,
        lambda: text(VOC, "Annotations/000000.xml", b"<width>1280<", b"<width>1279<"),
        r"\(1279, 720\)",
    ),
    "a class of VOC": (
        VOC,
        lambda: text(VOC, "Annotations/000000.xml", b"<name>car<", b"<name>cat<"),
        "object 1: class .*'cat'",
    ),
    "a flag of VOC that the ontology has not": (
        VOC,
        lambda: text(VOC, "Annotations/000000.xml", b"<difficult>0<", b"<difficult>1<"),
        "difficult",
    ),
    "a corner of VOC": (
        VOC,
        lambda: text(VOC, "Annotations/000000.xml", b"<xmax>110.0<", b"<xmax>nan<"),
        "nan",
    ),
    "XML that defines entities": (
        VOC,
        lambda: {"a.xml": b'<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>'},
        "EntitiesForbidden",
    ),
    "a table of nuScenes": (NUSCENES, lambda: {"category.json": b"[]"}, "attribute.json"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_with_its_place_and_value(case: str):
    kind, files, said = REFUSED[case]
    with pytest.raises(ExchangeError, match=said):
        import_labels(kind, files(), EMPTY, source=WU, class_map=SAME)


def test_what_nuscenes_cannot_say_is_refused_or_counted():
    with pytest.raises(ExchangeError, match="'lidar'"):
        export_labels(NUSCENES, small_set(), class_map=SAME)
    assert export_labels(NUSCENES, small_set(), class_map=SAME, frame="lidar").left_out == {
        "bbox labels": 2,
        "polygon labels": 1,
        "attribute confidence": 1,
    }
    timeless = new_label_set(ONTOLOGY, LINEAGE, [frame(0, time_us=None)])
    with pytest.raises(ExchangeError, match="time of frame"):
        export_labels(NUSCENES, timeless, class_map=SAME)


def test_tables_of_nuscenes_itself_are_read_by_a_class_map():
    files = {
        "category": [{"token": "c", "name": "vehicle.car"}],
        "attribute": [{"token": "a", "name": "vehicle.moving"}],
        "instance": [{"token": "i", "category_token": "c"}],
        "sample": [{"token": "s"}],
        "sample_data": [
            {"token": "d", "sample_token": "s", "filename": f"samples/CAM/{frame(2).item}", "is_key_frame": True,
             "width": WIDTH, "height": HEIGHT},
        ],
        "sample_annotation": [
            {"token": "n", "sample_token": "s", "instance_token": "i", "attribute_tokens": ["a"],
             "translation": [1, 2, 3], "size": [1.9, 4.6, 1.7], "rotation": [1, 0, 0, 0]},
        ],
    }  # fmt: skip
    tables = {f"v1.0-mini/{name}.json": json.dumps(rows).encode() for name, rows in files.items()}
    class_map = ClassMap(classes={"vehicle.car": "car"}, attributes={"vehicle.moving": "moving.true"})
    (label,) = import_labels(NUSCENES, tables, EMPTY, source=MODEL, class_map=class_map).labels.values()
    assert (label.item, label.attributes) == (frame(2).item, {"moving": True})
    assert label.geometry == Cuboid(
        centre=(1, 2, 3), size=(4.6, 1.9, 1.7), quaternion=(0, 0, 0, 1), frame="local"
    )
    with pytest.raises(ExchangeError, match="vehicle"):
        import_labels(NUSCENES, tables, EMPTY, source=MODEL, class_map=SAME)


def test_class_maps_that_are_wrong_are_refused():
    with pytest.raises(ExchangeError, match="unicorn"):
        read_class_map(b"format: fleetgate-class-map\nclasses: {car: unicorn}\n", ONTOLOGY)
    twice = ClassMap(classes={"a": "car", "b": "car"})
    with pytest.raises(ExchangeError, match="one name for export"):
        export_labels(COCO, small_set(), class_map=twice)


def test_files_appear_whole_or_not_at_all(tmp_path: Path):
    exported = export_labels(YOLO, small_set(), class_map=SAME)
    write_files(exported, tmp_path / "yolo")
    assert read_files(YOLO, tmp_path / "yolo") == exported.files
    with pytest.raises(DestinationError, match="expected a new one"):
        write_files(exported, tmp_path / "yolo")
    with pytest.raises(DestinationError):
        write_files(exported, tmp_path / "yolo" / "data.yaml" / "below")
    write_whole(b"x", tmp_path / "new")
    with pytest.raises(DestinationError, match="expected a new one"):
        write_whole(b"y", tmp_path / "new")
    assert (tmp_path / "new").read_bytes() == b"x"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["new", "yolo"]
    with pytest.raises(ExchangeError, match="no file"):
        read_files(VOC, tmp_path / "yolo")


READING = """
import json, sys
from datumaro.components.dataset import Dataset
form, path = sys.argv[1:]
found = Dataset.import_from(path, form)
names = [label.name for label in found.categories()[list(found.categories())[0]].items]
print(json.dumps(sorted(
    [item.id, names[a.label], a.type.name, [round(n, 2) for n in values]]
    for item in found for a in item.annotations if a.type.name in ("bbox", "polygon")
    for values in [a.get_bbox() if a.type.name == "bbox" else a.points]
)))
"""


@pytest.mark.parametrize("form", ["coco_instances", "voc_detection"])
def test_datumaro_reads_what_is_written(tmp_path: Path, form: str):
    python = os.environ.get("FLEETGATE_DATUMARO_PYTHON")
    if python is None:
        pytest.skip(
            "datumaro lives in an environment of its own (set FLEETGATE_DATUMARO_PYTHON to its python)"
        )
    kind = COCO if form.startswith("coco") else VOC
    files = dict(export_labels(kind, small_set(), class_map=SAME).files)
    if kind is COCO:  # datumaro wants the folder and the name of its own
        files = {"annotations/instances_train.json": files["instances.json"]}
    else:
        files["ImageSets/Main/train.txt"] = "".join(f"{Path(i).stem}\n" for i in EMPTY.frames).encode()
    (tmp_path / "images").mkdir()  # empty: datumaro wants it to be there
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    done = subprocess.run(  # noqa: S603 - the python that the tester named
        [python, "-c", READING, form, tmp_path], capture_output=True, text=True, check=True, timeout=250
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert ["000000", "car", "bbox", [10.0, 20.0, 100.0, 50.0]] in found
    assert ["000004", "car", "bbox", [410.0, 220.0, 100.0, 50.0]] in found
    if kind is COCO:
        assert ["000000", "lane", "polygon", [0.0, 700.0, 1280.0, 700.0, 640.0, 300.0]] in found
