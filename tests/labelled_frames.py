"""A small label set of generated frames, for tests and benchmarks of labels."""

from dataclasses import replace
from hashlib import sha256

from pipeline.labelling.geometry import BoundingBox, Cuboid, Polygon
from pipeline.labelling.label_set import (
    Label,
    LabelledFrame,
    LabelledObject,
    LabelSet,
    Lineage,
    as_person,
    new_label_set,
)
from pipeline.labelling.ontology import shipped_label_ontology

ONTOLOGY = shipped_label_ontology()
LINEAGE = Lineage(release="rel-1", release_digest="a" * 64, code="0123abc")
WU = as_person("wu")
MODEL = f"model@sha256:{'b' * 64}"
WIDTH, HEIGHT = 1280, 720


def frame(number: int, **changes: object) -> LabelledFrame:
    item = f"{number:06d}.png"
    made = LabelledFrame(
        item=item,
        sha256=sha256(item.encode()).hexdigest(),
        width=WIDTH,
        height=HEIGHT,
        time_us=100_000 * number,
        sequence="front",
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def box(number: int, object_id: str = "0", *, x: float = 10, y: float = 20, **changes: object) -> Label:
    made = Label(
        item=f"{number:06d}.png",
        object_id=object_id,
        geometry=BoundingBox(x=x, y=y, width=100, height=50),
        source=WU,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def small_set(frames: int = 5) -> LabelSet:
    """A car from the first to the last frame in key boxes, a lane, and a lorry in space."""
    ring = Polygon(points=((0, 700), (1280, 700), (640, 300)))
    space = Cuboid(
        centre=(12.5, -3.25, 0.8), size=(8.1, 2.5, 3.0), quaternion=(0, 0, 0.6, 0.8), frame="lidar"
    )
    last = frames - 1
    return new_label_set(
        ONTOLOGY,
        LINEAGE,
        [frame(number) for number in range(frames)],
        [
            LabelledObject(id="0", label_class="car"),
            LabelledObject(id="1", label_class="lane"),
            LabelledObject(id="2", label_class="truck"),
        ],
        [
            box(0, attributes={"occlusion": "partial", "truncated": False, "visibility": 1}),
            box(last, x=410, y=220),
            Label(item=frame(0).item, object_id="1", geometry=ring, source=WU),
            Label(item=frame(1).item, object_id="2", geometry=space, source=MODEL, confidence=0.75),
        ],
    )
