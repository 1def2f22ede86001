"""OpenLABEL 1.0: nothing is lost on the way there and back, and what is faulty is refused."""

import json
import math
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
import rfc8785
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openlabel_checker import check_text

from labelled_frames import LINEAGE, MODEL, ONTOLOGY, WU, frame, small_set
from pipeline.labelling.errors import LabelError, LabelOntologyError, OpenLabelError
from pipeline.labelling.geometry import BoundingBox, Cuboid, Polygon
from pipeline.labelling.label_set import (
    Label,
    LabelledObject,
    LabelSet,
    Lineage,
    ReviewState,
    new_label_set,
)
from pipeline.labelling.ontology import read_label_ontology
from pipeline.labelling.openlabel import openlabel_digest, read_openlabel, write_openlabel

NUMBERS = st.floats(min_value=-1e4, max_value=1e4, allow_nan=False)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
SHARES = st.floats(min_value=0, max_value=1)


@st.composite
def boxes(draw: st.DrawFn, width: int, height: int) -> BoundingBox:
    left, top = draw(st.floats(0, width - 1)), draw(st.floats(0, height - 1))
    return BoundingBox(
        x=left, y=top, width=draw(st.floats(0.01, width - left)), height=draw(st.floats(0.01, height - top))
    )


@st.composite
def rings(draw: st.DrawFn, width: int, height: int) -> Polygon:
    turns = sorted(draw(st.lists(st.integers(0, 359), min_size=3, max_size=9, unique=True)))
    if max(b - a for a, b in zip(turns, [*turns[1:], turns[0] + 360], strict=True)) >= 180:
        turns = [0, 100, 220]
    reach = min(width, height) / 2 * draw(st.floats(0.5, 0.99))
    centre = width / 2, height / 2
    points = [
        (centre[0] + reach * math.cos(math.radians(t)), centre[1] + reach * math.sin(math.radians(t)))
        for t in turns
    ]
    return Polygon(points=tuple(points))


@st.composite
def cuboids(draw: st.DrawFn) -> Cuboid:
    turn = [draw(st.floats(-1, 1)) for _ in range(4)]
    length = math.hypot(*turn)
    turn = [each / length for each in turn] if length > 0.1 else [0, 0, 0, 1]
    size = st.floats(0.01, 50)
    return Cuboid(
        centre=(draw(NUMBERS), draw(NUMBERS), draw(NUMBERS)),
        size=(draw(size), draw(size), draw(size)),
        quaternion=(turn[0], turn[1], turn[2], turn[3]),
        frame=draw(st.sampled_from(["lidar", "base_link"])),
    )


@st.composite
def label_sets(draw: st.DrawFn) -> LabelSet:
    times = draw(st.lists(st.none() | st.integers(0, 2**40), min_size=1, max_size=4))
    known = iter(sorted(each for each in times if each is not None))
    frames = [
        frame(
            number,
            time_us=None if time is None else next(known),
            width=draw(st.integers(64, 4000)),
            height=draw(st.integers(64, 4000)),
            sequence=draw(st.sampled_from(["", "前视", "left"])),
        )
        for number, time in enumerate(times)
    ]
    ids = draw(st.lists(st.integers(0, 10**9).map(str) | st.uuids().map(str), max_size=4, unique=True))
    objects = [
        LabelledObject(id=each, label_class=draw(st.sampled_from(["car", "truck", "bicycle"])))
        for each in ids
    ]
    labels = []
    for each in frames:
        for known_object in objects:
            for shape in (boxes(each.width, each.height), rings(each.width, each.height), cuboids()):
                if not draw(st.booleans()):
                    continue
                review = draw(st.sampled_from(ReviewState))
                labels.append(
                    Label(
                        item=each.item,
                        object_id=known_object.id,
                        geometry=draw(shape),  # type: ignore[arg-type]
                        source=draw(st.sampled_from([WU, MODEL])),
                        confidence=draw(st.none() | SHARES),
                        attributes=draw(
                            st.fixed_dictionaries(
                                {},
                                optional={
                                    "occlusion": st.sampled_from(["none", "partial", "heavy"]),
                                    "truncated": st.booleans(),
                                    "visibility": SHARES,
                                    "note": TEXTS,
                                },
                            )
                        ),
                        key=draw(st.booleans()),
                        review=review,
                        reviewer=None if review is ReviewState.OPEN else "li",
                    )
                )
    artefacts = draw(st.lists(st.sampled_from(["art-1", "art-2"])))
    lineage = Lineage(release="rel-1", release_digest="c" * 64, code="v1", artefacts=tuple(artefacts))
    return new_label_set(ONTOLOGY, lineage, frames, objects, labels)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(label_sets())
def test_nothing_is_lost_on_the_way_there_and_back(labels: LabelSet):
    content = write_openlabel(labels)
    found = read_openlabel(content, ONTOLOGY)
    assert found == labels
    assert list(found.frames) == list(labels.frames)
    assert write_openlabel(found) == content


def test_a_document_names_its_schema_release_items_and_code():
    content = write_openlabel(small_set())
    metadata = json.loads(content)["openlabel"]["metadata"]
    own = metadata["fleetgate:labels"]
    assert metadata["schema_version"] == "1.0.0"
    assert own["release"] == {"id": "rel-1", "digest": LINEAGE.release_digest}
    assert own["items"] == sorted(frame(n).sha256 for n in range(5))
    assert own["code"] == LINEAGE.code
    assert own["ontology"]["digest"] == ONTOLOGY.digest
    assert openlabel_digest(content) == openlabel_digest(write_openlabel(small_set()))
    assert check_text(content.decode(), "small").issues == []


def test_boxes_stand_by_their_centre_as_the_standard_says():
    document = json.loads(write_openlabel(small_set()))["openlabel"]
    shape = document["frames"]["0"]["objects"]["0"]["object_data"]["bbox"][0]
    assert shape["val"] == [60, 45, 100, 50]
    assert document["objects"]["0"]["object_data_pointers"]["bbox"]["frame_intervals"] == [
        {"frame_start": 0, "frame_end": 0},
        {"frame_start": 4, "frame_end": 4},
    ]


def spoil(change: Callable[[dict[str, Any]], None]) -> bytes:
    document = json.loads(write_openlabel(small_set()))
    change(document["openlabel"])
    return rfc8785.dumps(document)


def shape_of(
    document: dict[str, Any], kind: str = "bbox", number: str = "0", uid: str = "0"
) -> dict[str, Any]:
    found: dict[str, Any] = document["frames"][number]["objects"][uid]["object_data"][kind][0]
    return found


def metadata_of(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["metadata"]["fleetgate:labels"]
    return found


SPOILT: dict[str, tuple[Callable[[dict[str, Any]], None], type[Exception], str]] = {
    "another schema": (lambda d: d["metadata"].update(schema_version="2.0.0"), OpenLabelError, "2.0.0"),
    "a negative width": (
        lambda d: shape_of(d)["val"].__setitem__(2, -1),
        OpenLabelError,
        "negative dimension",
    ),
    "an object that is not declared": (lambda d: d["objects"].pop("2"), OpenLabelError, "not declared"),
    "a member that OpenLABEL has not": (lambda d: d.update(extra=1), OpenLabelError, "extra"),
    "no lineage": (lambda d: d["metadata"].pop("fleetgate:labels"), OpenLabelError, "fleetgate:labels"),
    "items of other frames": (lambda d: metadata_of(d)["items"].pop(), OpenLabelError, "4 digests"),
    "another ontology": (
        lambda d: metadata_of(d)["ontology"].update(version=2),
        LabelOntologyError,
        "'version': 2",
    ),
    "a class that is unknown": (
        lambda d: d["objects"]["0"].update(type="unicorn"),
        LabelOntologyError,
        "unicorn",
    ),
    "a box outside": (lambda d: shape_of(d)["val"].__setitem__(0, 1279), LabelError, "1329"),
    "an undeclared coordinate system": (
        lambda d: shape_of(d, "cuboid", "1", "2").update(coordinate_system="moon"),
        OpenLabelError,
        "moon",
    ),
    "a frame without digest": (
        lambda d: d["frames"]["0"]["frame_properties"].pop("fleetgate:sha256"),
        OpenLabelError,
        "sha256",
    ),
    "a shape without source": (
        lambda d: shape_of(d)["attributes"].update(text=[]),
        OpenLabelError,
        "source",
    ),
    "time that goes back": (
        lambda d: d["frames"]["1"]["frame_properties"].update(
            {"timestamp": "9.0", "fleetgate:time_us": 9000000}
        ),
        OpenLabelError,
        "timestamp decreases",
    ),
}


@pytest.mark.parametrize("case", SPOILT)
def test_what_is_faulty_is_refused(case: str):
    change, kind, said = SPOILT[case]
    with pytest.raises(kind, match=said):
        read_openlabel(spoil(change), ONTOLOGY)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "Expecting value"),
        (b"\xff", "utf-8"),
        (b"[]", "OpenLABEL 1.0.0"),
        (b'{"openlabel": NaN}', "NaN"),
        (b'{"openlabel": {}, "openlabel": {}}', "twice"),
        (b"[" * 100_000, "recursion"),
    ],
)
def test_what_is_no_document_is_refused(content: bytes, said: str):
    with pytest.raises(OpenLabelError, match=said):
        read_openlabel(content, ONTOLOGY)


def test_a_set_is_read_under_its_own_ontology_only():
    changed = read_label_ontology(
        b"format: fleetgate-label-ontology\nname: driving\nversion: 1\n"
        b"classes: {car: {zh: x, en: x, geometry: [bbox]}}\n"
    )
    with pytest.raises(LabelOntologyError, match="digest"):
        read_openlabel(write_openlabel(small_set()), changed)


def test_ids_may_be_uuids():
    uid = str(UUID(int=7))
    labels = small_set().with_object(LabelledObject(id=uid, label_class="car"))
    assert uid in read_openlabel(write_openlabel(labels), ONTOLOGY).objects
