"""Label sets: operations of a page, interpolation, and what is refused."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
from scipy.spatial.transform import Rotation

from labelled_frames import HEIGHT, LINEAGE, MODEL, ONTOLOGY, WIDTH, WU, box, frame, small_set
from pipeline.labelling.errors import LabelError, LabelOntologyError
from pipeline.labelling.geometry import BoundingBox, Cuboid, Polygon
from pipeline.labelling.label_set import (
    Label,
    LabelledObject,
    LabelSet,
    ReviewState,
    label_document,
    new_label_set,
)
from pipeline.labelling.ontology import GeometryKind

BBOX, POLYGON, CUBOID = GeometryKind


def cuboid(**changes: object) -> Cuboid:
    made: dict[str, object] = {
        "centre": (0, 0, 0),
        "size": (4, 2, 1.5),
        "quaternion": (0, 0, 0, 1),
        "frame": "lidar",
    }
    return Cuboid(**(made | changes))  # type: ignore[arg-type]


def test_labels_are_added_moved_and_removed_without_changing_the_set_before():
    before = small_set()
    added = before.with_object(LabelledObject(id=before.free_id(), label_class="car")).with_label(box(1, "3"))
    moved = added.with_changed(box(1, "3", x=500))
    gone = moved.without_label((frame(1).item, "3", BBOX))
    assert (len(before.labels), len(added.labels), len(gone.labels)) == (4, 5, 4)
    shape = moved.labels[frame(1).item, "3", BBOX].geometry
    assert isinstance(shape, BoundingBox)
    assert shape.x == 500
    assert "3" in gone.objects
    assert "3" not in gone.without_object("3").objects


def test_labels_are_listed_by_frame_and_by_object():
    labels = small_set()
    assert [each.object_id for each in labels.of_frame(frame(0).item)] == ["0", "1"]
    assert [each.item for each in labels.of_object("0")] == [frame(0).item, frame(4).item]
    assert label_document(labels.of_frame(frame(0).item)[0])["geometry"] == {
        "kind": "bbox",
        "x": 10,
        "y": 20,
        "width": 100,
        "height": 50,
    }


def test_boxes_between_key_boxes_follow_time():
    frames = [frame(n, time_us=t) for n, t in enumerate((0, 100, 400))]
    labels = new_label_set(
        ONTOLOGY,
        LINEAGE,
        frames,
        [LabelledObject(id="0", label_class="car")],
        [box(0, x=0, confidence=0.9, attributes={"note": "灰色"}), box(2, x=400, confidence=0.4)],
    )
    made = labels.interpolated("0", BBOX).labels[frame(1).item, "0", BBOX]
    assert isinstance(made.geometry, BoundingBox)
    assert (made.geometry.x, made.geometry.width) == (100, 100)
    assert (made.key, made.confidence, made.source, made.attributes) == (False, 0.4, WU, {"note": "灰色"})


def test_a_moved_key_label_moves_what_lies_between_again():
    once = small_set().interpolated("0", BBOX)
    moved = once.with_changed(box(4, x=810, y=220)).interpolated("0", BBOX)
    assert [each.geometry.extent[0] for each in once.of_object("0")] == [10, 110, 210, 310, 410]
    assert [each.geometry.extent[0] for each in moved.of_object("0")] == [10, 210, 410, 610, 810]


def test_interpolation_stays_within_bounds_and_within_a_sequence():
    labels = small_set(7).with_label(box(3, x=100))
    made = labels.interpolated("0", BBOX, last=frame(3).item)
    assert [each.item for each in made.of_object("0")] == [frame(n).item for n in (0, 1, 2, 3, 6)]
    frames = [frame(n, sequence="left" if n == 1 else "front") for n in range(3)]
    split = new_label_set(ONTOLOGY, LINEAGE, frames, labels.objects.values(), [box(0), box(2, x=410)])
    with pytest.raises(LabelError, match="fewer than 2"):
        split.with_changed(box(2)).without_label((frame(0).item, "0", BBOX)).interpolated("0", BBOX)
    assert len(split.interpolated("0", BBOX).labels) == 2, "the frame between is of another sensor"


def test_polygons_go_point_by_point_and_cuboids_turn_evenly():
    ring = Polygon(points=((0, 0), (100, 0), (0, 100)))
    far = Polygon(points=((200, 0), (300, 0), (200, 100)))
    turned = cuboid(centre=(8, 0, 0), quaternion=(0, 0, math.sin(math.pi / 4), math.cos(math.pi / 4)))
    labels = new_label_set(
        ONTOLOGY,
        LINEAGE,
        [frame(n) for n in range(3)],
        [LabelledObject(id="0", label_class="truck")],
        [
            Label(item=frame(n).item, object_id="0", geometry=shape, source=WU)
            for n, shape in [(0, ring), (2, far), (0, cuboid()), (2, turned)]
        ],
    )
    made = labels.interpolated("0", POLYGON).interpolated("0", CUBOID)
    assert made.labels[frame(1).item, "0", POLYGON].geometry == Polygon(
        points=((100, 0), (200, 0), (100, 100))
    )
    space = made.labels[frame(1).item, "0", CUBOID].geometry
    assert isinstance(space, Cuboid)
    assert space.centre == (4, 0, 0)
    assert Rotation.from_quat(space.quaternion).as_euler("xyz", degrees=True)[2] == pytest.approx(45)


def test_review_needs_another_person():
    labels = small_set()
    at = frame(0).item, "0", BBOX
    assert labels.reviewed(at, ReviewState.ACCEPTED, "li").labels[at].reviewer == "li"
    with pytest.raises(LabelError, match="another person"):
        labels.reviewed(at, ReviewState.ACCEPTED, "wu")
    with pytest.raises(LabelError, match="None"):
        labels.reviewed(at, ReviewState.REJECTED, None)


def test_an_object_changes_class_only_where_its_labels_fit():
    labels = small_set()
    assert labels.reclassified("0", "van").objects["0"].label_class == "van"
    with pytest.raises(LabelOntologyError, match="'bbox'"):
        labels.reclassified("0", "lane")


@pytest.mark.parametrize("number", [math.nan, math.inf])
@pytest.mark.parametrize(
    "make",
    [
        lambda n: BoundingBox(x=n, y=0, width=1, height=1),
        lambda n: Polygon(points=((0, 0), (n, 0), (0, 1))),
        lambda n: cuboid(centre=(n, 0, 0)),
        lambda n: cuboid(quaternion=(0, 0, 0, n)),
    ],
)
def test_numbers_that_are_not_finite_are_refused(make: Callable[[float], object], number: float):
    with pytest.raises(LabelError, match=str(number)):
        make(number)


SHAPES: dict[str, tuple[Callable[[], object], str]] = {
    "no width": (lambda: BoundingBox(x=0, y=0, width=0, height=1), "positive width"),
    "two points": (lambda: Polygon(points=((0, 0), (1, 1))), "2 points"),
    "a ring that crosses itself": (
        lambda: Polygon(points=((0, 0), (9, 9), (9, 0), (0, 9))),
        "Self-intersection",
    ),
    "a point twice": (lambda: Polygon(points=((0, 0), (9, 0), (9, 9), (0, 0))), "a point twice"),
    "points on a line": (lambda: Polygon(points=((0, 0), (1, 1), (2, 2))), "expected a ring"),
    "a flat cuboid": (lambda: cuboid(size=(4, 2, 0)), "positive metres"),
    "a quaternion of another length": (lambda: cuboid(quaternion=(0, 0, 0, 2)), "length 2"),
    "a frame without name": (lambda: cuboid(frame=""), "frame"),
    "an object's id": (lambda: LabelledObject(id="car-1", label_class="car"), "car-1"),
    "a source": (lambda: box(0, source="somebody"), "somebody"),
    "a confidence": (lambda: box(0, source=MODEL, confidence=1.5), "1.5"),
    "a confidence of NaN": (lambda: box(0, source=MODEL, confidence=math.nan), "nan"),
    "a size of a frame": (lambda: frame(0, width=0), "got 0"),
    "a digest of a frame": (lambda: frame(0, sha256="x"), "'x'"),
}


@pytest.mark.parametrize("case", SHAPES)
def test_shapes_and_names_that_are_none_are_refused(case: str):
    make, said = SHAPES[case]
    with pytest.raises(LabelError, match=said):
        make()


def car(*labels: Label) -> LabelSet:
    objects = [LabelledObject(id="0", label_class="car")]
    return new_label_set(ONTOLOGY, LINEAGE, [frame(0), frame(1)], objects, labels)


def test_a_box_up_to_the_edges_is_inside():
    whole = BoundingBox(x=0, y=0, width=WIDTH, height=HEIGHT)
    assert car(box(0, geometry=whole)).of_frame(frame(0).item)[0].geometry == whole


REFUSED: dict[str, tuple[Callable[[], object], type[Exception], str]] = {
    "outside the picture": (lambda: car(box(0, x=1200)), LabelError, r"1300.*1280 x 720"),
    "outside at the left": (lambda: car(box(0, x=-1)), LabelError, "-1"),
    "an unknown class": (
        lambda: small_set().with_object(LabelledObject(id="9", label_class="unicorn")),
        LabelOntologyError,
        "unicorn",
    ),
    "an id that is taken": (
        lambda: small_set().with_object(LabelledObject(id="0", label_class="car")),
        LabelError,
        "'0' again",
    ),
    "a second box": (lambda: car(box(0), box(0, x=50)), LabelError, "second bbox"),
    "a second box later": (lambda: car(box(0)).with_label(box(0, x=50)), LabelError, "second bbox"),
    "an unknown frame": (lambda: car(box(7)), LabelError, "000007.png"),
    "an unknown object": (lambda: car(box(0, "5")), LabelError, "'5'"),
    "a label that is not there": (lambda: car().with_changed(box(0)), LabelError, "000000.png"),
    "removing what is not there": (lambda: car().without_label(box(0).at), LabelError, "expected one there"),
    "an unknown attribute": (lambda: car(box(0, attributes={"light": "red"})), LabelOntologyError, "light"),
    "no frame": (lambda: new_label_set(ONTOLOGY, LINEAGE, []), LabelError, "got none"),
    "a frame twice": (lambda: new_label_set(ONTOLOGY, LINEAGE, [frame(0)] * 2), LabelError, "again"),
    "time that goes back": (
        lambda: new_label_set(ONTOLOGY, LINEAGE, [frame(1), frame(0)]),
        LabelError,
        "0 µs",
    ),
    "polygons of different counts": (
        lambda: (
            small_set()
            .with_label(
                Label(
                    item=frame(4).item,
                    object_id="1",
                    geometry=Polygon(points=((0, 0), (9, 0), (9, 9), (0, 9))),
                    source=WU,
                )
            )
            .interpolated("1", POLYGON)
        ),
        LabelError,
        "3 and 4",
    ),
    "one key label": (lambda: car(box(0)).interpolated("0", BBOX), LabelError, "fewer than 2"),
    "a release without digest": (lambda: replace(LINEAGE, release_digest=""), LabelError, "digest ''"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_with_its_value(case: str):
    act, kind, said = REFUSED[case]
    with pytest.raises(kind, match=said):
        act()
