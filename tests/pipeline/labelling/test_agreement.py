"""Agreement of two annotators, honeypots, and the review queue on injected errors."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from labelled_frames import LINEAGE, MODEL, ONTOLOGY, WU, box, frame, small_set
from pipeline.labelling.agreement import agreement
from pipeline.labelling.errors import AgreementError
from pipeline.labelling.geometry import BoundingBox, Cuboid, Geometry, Polygon
from pipeline.labelling.honeypots import mixed, score_honeypots
from pipeline.labelling.label_set import (
    Label,
    LabelledObject,
    LabelSet,
    ReviewState,
    new_label_set,
)
from pipeline.labelling.ontology import GeometryKind, read_label_ontology
from pipeline.labelling.overlap import matched, overlaps
from pipeline.labelling.review_queue import Disagreement, review_queue

BBOX, POLYGON, CUBOID = GeometryKind


def boxes(*placed: tuple[str, float, float], number: int = 0, frames: int = 1, source: str = WU) -> LabelSet:
    """Boxes of 100 x 50 in one frame, by class and upper left corner."""
    return new_label_set(
        ONTOLOGY,
        LINEAGE,
        [frame(n) for n in range(frames)],
        [LabelledObject(id=str(n), label_class=each[0]) for n, each in enumerate(placed)],
        [box(number, str(n), x=each[1], y=each[2], source=source) for n, each in enumerate(placed)],
    )


def square(x: float, y: float, side: float = 10) -> Polygon:
    return Polygon(points=((x, y), (x + side, y), (x + side, y + side), (x, y + side)))


def solid(
    x: float, quaternion: tuple[float, float, float, float] = (0, 0, 0, 1), frame: str = "lidar"
) -> Cuboid:
    return Cuboid(centre=(x, 0, 1), size=(4, 2, 2), quaternion=quaternion, frame=frame)


OVERLAPS: dict[str, tuple[Geometry, Geometry, float]] = {
    "half of a box": (
        BoundingBox(x=0, y=0, width=10, height=10),
        BoundingBox(x=5, y=0, width=10, height=10),
        1 / 3,
    ),
    "boxes that touch": (
        BoundingBox(x=0, y=0, width=10, height=10),
        BoundingBox(x=10, y=0, width=10, height=10),
        0,
    ),
    "half of a square": (square(0, 0), square(5, 0), 1 / 3),
    "cuboids one behind the other": (solid(0), solid(2), 1 / 3),
    "a cuboid that is turned round": (solid(0), solid(0, (0, 0, 1, 0)), 1),
    "cuboids that are crossed": (solid(0), solid(0, (0, 0, 0.5**0.5, 0.5**0.5)), 1 / 3),
    "cuboids of two frames": (solid(0), solid(0, frame="base_link"), 0),
    "two kinds": (square(0, 0), BoundingBox(x=0, y=0, width=10, height=10), 0),
}


@pytest.mark.parametrize("case", OVERLAPS)
def test_overlap_is_intersection_over_union(case: str):
    one, other, expected = OVERLAPS[case]
    assert overlaps([one], [other])[0, 0] == pytest.approx(expected)


def test_matching_takes_the_most_overlap_in_all_not_the_best_first():
    one = [BoundingBox(x=0, y=0, width=10, height=10), BoundingBox(x=4, y=0, width=10, height=10)]
    other = [BoundingBox(x=3, y=0, width=10, height=10), BoundingBox(x=9, y=0, width=10, height=10)]
    found = matched(one, other, (["car", "car"], ["car", "car"]), 0.1)
    assert [(i, j) for i, j, _ in found] == [(0, 0), (1, 1)]


def test_of_equal_overlaps_the_same_class_is_matched():
    both = [BoundingBox(x=0, y=0, width=10, height=10)] * 2
    found = matched(both, both, (["car", "truck"], ["truck", "car"]), 0.1)
    assert sorted((i, j) for i, j, _ in found) == [(0, 1), (1, 0)]


def test_two_annotators_are_compared():
    first = boxes(("car", 0, 0), ("car", 200, 0), ("truck", 400, 0), ("pedestrian", 600, 0), ("bus", 800, 0))
    second = boxes(("car", 0, 0), ("van", 200, 0), ("truck", 450, 0), ("bicycle", 950, 0), ("bus", 800, 0))
    found = agreement(first, second, thresholds=[0.3, 0.5])
    assert [(each.true, each.first, each.second) for each in found.found] == [(3, 5, 5), (2, 5, 5)]
    assert (found.found[0].precision, found.found[0].recall, found.found[0].f1) == (0.6, 0.6, 0.6)
    assert found.confused == {("car", "van"): 1}
    assert found.overlap == pytest.approx((3 + 1 / 3) / 4)
    assert found.kappa == pytest.approx(
        0.5
    )  # car and car, car and van, bus and bus: 2/3 alike, 1/3 by chance
    assert [len(found.matches[0].only_first), len(found.matches[0].only_second)] == [1, 1]


def test_kappa_of_one_class_is_not_defined():
    assert agreement(boxes(("car", 0, 0)), boxes(("car", 0, 0))).kappa is None


def test_attributes_are_compared_where_one_states_them():
    first = boxes(("car", 0, 0)).with_changed(
        box(0, x=0, y=0, attributes={"occlusion": "none", "moving": True})
    )
    second = boxes(("car", 0, 0)).with_changed(
        box(0, x=0, y=0, attributes={"occlusion": "heavy", "moving": True})
    )
    found = agreement(first, second).attributes
    assert {name: (each.pairs, each.same) for name, each in found.items()} == {
        "moving": (1, 1),
        "occlusion": (1, 0),
    }


def test_rejected_labels_do_not_count():
    second = boxes(("car", 0, 0), ("car", 500, 0)).reviewed(
        (frame(0).item, "1", BBOX), ReviewState.REJECTED, "li"
    )
    assert agreement(boxes(("car", 0, 0)), second).found[0].f1 == 1


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "no common frame": (
        lambda: agreement(boxes(("car", 0, 0)), new_label_set(ONTOLOGY, LINEAGE, [frame(9)])),
        "got none of 1",
    ),
    "another picture": (
        lambda: agreement(
            boxes(("car", 0, 0)), new_label_set(ONTOLOGY, LINEAGE, [frame(0, sha256="f" * 64)])
        ),
        "f" * 64,
    ),
    "another ontology": (
        lambda: agreement(
            small_set(),
            new_label_set(
                read_label_ontology(
                    b"format: fleetgate-label-ontology\nname: x\nversion: 1\n"
                    b"classes: {car: {zh: x, en: x, geometry: [bbox]}}\n"
                ),
                LINEAGE,
                [frame(0)],
            ),
        ),
        "ontology",
    ),
    "a threshold": (lambda: agreement(small_set(), small_set(), thresholds=[0]), r"\[0\]"),
    "a share of known frames": (lambda: mixed(["a"], ["b"], 1.0, seed=1), "1.0"),
    "too few known frames": (lambda: mixed(["a"] * 9, ["b"], 0.5, seed=1), "expected at least 9"),
    "a known frame in the task": (lambda: mixed(["a", "b"], ["b", "c"], 0.5, seed=1), "'b'"),
    "a confidence": (lambda: score_honeypots(small_set(), {"wu": small_set()}, confidence=0.2), "0.2"),
    "a share of errors": (lambda: review_queue(small_set(), small_set(), errors=0), "got 0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_compared_is_refused(case: str):
    act, said = REFUSED[case]
    with pytest.raises(AgreementError, match=said):
        act()


def test_known_frames_are_mixed_in_at_random_places():
    items, known = [f"t{n}" for n in range(40)], [f"k{n}" for n in range(20)]
    order = mixed(items, known, 0.2, seed=3)
    assert [each for each in order if each.startswith("t")] == items
    assert len([each for each in order if each.startswith("k")]) == 10
    assert order == mixed(items, known, 0.2, seed=3)
    assert order != mixed(items, known, 0.2, seed=4)


def drive(rng: np.random.Generator, frames: int = 60) -> list[list[tuple[str, float, float]]]:
    return [
        [
            (
                str(rng.choice(["car", "truck", "pedestrian"])),
                x * 130 + float(rng.uniform(0, 20)),
                y * 80 + 10.0,
            )
            for x, y in {(int(rng.integers(9)), int(rng.integers(8))) for _ in range(6)}
        ]
        for _ in range(frames)
    ]


def as_set(
    frames: list[list[tuple[str, float, float]]], rng: np.random.Generator, source: str = WU
) -> tuple[LabelSet, list[str]]:
    """Boxes of frames with edges off by some pixels, and the ids in order."""
    objects, labels = [], []
    for number, placed in enumerate(frames):
        for name, x, y in placed:
            uid = str(len(objects))
            off = rng.normal(0, 2, 2)
            shape = BoundingBox(x=max(0, x + off[0]), y=max(0, y + off[1]), width=90, height=50)
            objects.append(LabelledObject(id=uid, label_class=name))
            labels.append(Label(item=frame(number).item, object_id=uid, geometry=shape, source=source))
    made = new_label_set(ONTOLOGY, LINEAGE, [frame(n) for n in range(len(frames))], objects, labels)
    return made, [each.id for each in objects]


def test_honeypots_tell_a_careful_annotator_from_a_careless_one():
    rng = np.random.default_rng(1)
    truth = drive(rng)
    known, _ = as_set(truth, rng)
    careful, _ = as_set(truth, rng)
    careless, _ = as_set([[each for each in placed if rng.uniform() > 0.3] for placed in truth], rng)
    scores = score_honeypots(known, {"careful": careful, "careless": careless})
    assert [each.annotator for each in scores] == ["careless", "careful"]
    worse, better = scores
    assert better.recall.value == 1
    assert better.recall.low < 1
    assert worse.f1.value is not None
    assert worse.f1.low < worse.f1.value < worse.f1.high < better.f1.low
    assert worse.recall.low < 0.7 < worse.recall.high
    assert worse.precision.value == 1


def test_an_annotator_who_labelled_nothing_found_nothing():
    known = boxes(("car", 0, 0))
    found = score_honeypots(known, {"wu": new_label_set(ONTOLOGY, LINEAGE, [frame(0)])})[0]
    assert (found.recall.value, found.precision.value, found.f1.value) == (0, None, 0)


def test_the_queue_says_what_may_be_wrong():
    first = boxes(("car", 0, 0), ("car", 200, 0), ("car", 400, 0), ("car", 600, 0), frames=2)
    second = boxes(("car", 0, 0), ("van", 200, 0), ("car", 400, 0), ("car", 900, 0), frames=2, source=MODEL)
    queue = review_queue(first, second)
    assert [each.item for each in queue] == [frame(0).item, frame(1).item]
    assert queue[1].suspects == ()
    assert queue[1].score == 0
    found = {(each.why, each.label.geometry.extent[0]) for each in queue[0].suspects if each.score > 0.02}
    assert found >= {
        (Disagreement.WRONG_CLASS, 200),
        (Disagreement.EXTRA, 600),
        (Disagreement.MISSING, 900),
    }
    assert all(0 <= each.score <= 1 for each in queue[0].suspects)


def test_injected_errors_stand_before_right_labels():
    rng = np.random.default_rng(2)
    truth = drive(rng, frames=150)
    other, _ = as_set([[each for each in placed if rng.uniform() > 0.08] for placed in truth], rng, MODEL)
    wrong: dict[str, Disagreement] = {}
    spoilt: list[list[tuple[str, float, float]]] = []
    kinds = [*Disagreement, *[None] * 46]
    count = 0
    for placed in truth:
        kept = []
        for name, x, y in placed:
            kind = kinds[int(rng.integers(len(kinds)))]
            if kind is Disagreement.MISSING:
                wrong[f"missing {len(spoilt)} {x} {y}"] = kind
                continue
            changed = ("van", x, y) if kind is Disagreement.WRONG_CLASS else (name, x, y)
            if kind is Disagreement.SHIFTED:
                changed = (name, x + 30, y + 15)
            kept.append(changed)
            if kind in {Disagreement.WRONG_CLASS, Disagreement.SHIFTED}:
                wrong[str(count)] = kind
            count += 1
            if kind is Disagreement.EXTRA:
                kept.append((name, float(rng.uniform(0, 1100)), 660.0))
                wrong[str(count)] = kind
                count += 1
        spoilt.append(kept)
    reviewed, _ = as_set(spoilt, rng)
    scores, errors = [], []
    for queued in review_queue(reviewed, other):
        for suspect in queued.suspects:
            scores.append(suspect.score)
            errors.append(suspect.why is Disagreement.MISSING or suspect.label.object_id in wrong)
    assert roc_auc_score(errors, scores) >= 0.82


def test_a_label_keeps_its_score_whatever_the_order_of_frames():
    rng = np.random.default_rng(3)
    truth = drive(rng, frames=20)
    first, second = as_set(truth, rng)[0], as_set(truth[:15] + [placed[1:] for placed in truth[15:]], rng)[0]
    turned = replace(first, labels=dict(reversed(first.labels.items())))
    assert {s.label.at: s.score for f in review_queue(first, second) for s in f.suspects} == pytest.approx(
        {s.label.at: s.score for f in review_queue(turned, second) for s in f.suspects}
    )
