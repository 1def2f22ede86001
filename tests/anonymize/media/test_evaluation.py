"""Measured quality: hand-computed overlaps and coverage, exact intervals, resumption, digests, real sets."""

import json
from dataclasses import dataclass, field, replace
from datetime import date

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from anonymize.errors import MalformedItemError, ModelError
from anonymize.finding import Finding, FindingKind
from anonymize.media.detection import Look, embedded_detectors, identity, to_finding
from anonymize.media.evaluation import evaluate
from anonymize.media.labelled import LabelledBox, LabelledImage, LabelledSet, open_labelled
from anonymize.media.quality import Proportion, proportion
from anonymize.media.ultralytics_engine import import_ultralytics

FACE, PLATE = FindingKind.FACE, FindingKind.PLATE
COLOURS = {(255, 0, 0): FACE, (0, 255, 0): FACE, (0, 0, 255): PLATE}


@dataclass
class PaintDetector:
    """Finds what is painted in a pure colour: red and green are faces, blue is a plate."""

    name: str = "paint"
    digest: str = "ab" * 32
    kinds: frozenset[FindingKind] = frozenset({FACE, PLATE})
    runtime: str = "numpy"
    confidence: float = 0.9
    looked_at: list[int] = field(default_factory=list)

    def detect(self, image, *, threshold, look=Look.MASKING):  # noqa: ARG002 (paint looks alike to both looks)
        self.looked_at.append(int(image.sum()))
        found = []
        for colour, kind in COLOURS.items():
            rows, columns = np.nonzero((image == np.array(colour)).all(axis=2))
            if rows.size and self.confidence >= threshold:
                corners = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
                size = (image.shape[1], image.shape[0])
                found.append(
                    to_finding(
                        kind,
                        np.array(corners, np.float32),
                        self.confidence,
                        size=size,
                        detector=identity(self),
                    )
                )
        return tuple(f for f in found if isinstance(f, Finding))

    def detect_batch(self, images, *, threshold, look=Look.MASKING):
        return tuple(self.detect(i, threshold=threshold, look=look) for i in images)


@pytest.fixture
def treatment(profile):
    """Boxes grow by a fifth on each side."""
    face, plate = (
        replace(t, mode="mean", enlarge=0.2, shape="box", region="object")
        for t in (profile.face, profile.plate)
    )
    return replace(profile, face=face, plate=plate)


@pytest.fixture
def painted(tmp_path):
    """Makes a set of pictures 120 × 100 of ``grey`` with painted boxes and labels."""

    def make(*pictures, complete=True, grey=90):
        images = []
        for number, (paint, labels) in enumerate(pictures):
            pixels = np.full((100, 120, 3), grey, np.uint8)
            for colour, (x0, y0, x1, y1) in paint.items():
                pixels[y0:y1, x0:x1] = colour
            path = tmp_path / f"{number}.png"
            Image.fromarray(pixels).save(path)
            boxes = tuple(LabelledBox(kind=k, box=b, ignore=i) for k, b, i in labels)
            images.append(LabelledImage(path=path, name=path.name, boxes=boxes))
        return LabelledSet(name="painted", format="voc", images=tuple(images), absent=(), complete=complete)

    return make


RED, GREEN, BLUE = COLOURS
LABEL = (10, 10, 30, 30)


def face(box, *, ignore=False):
    return FACE, box, ignore


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    [
        (0, 10, 0.0, 0.3085),
        (10, 10, 0.6915, 1.0),
        (5, 10, 0.1871, 0.8129),
        (1, 20, 0.0013, 0.2487),
        (0, 0, 0.0, 1.0),
    ],
)
def test_intervals_are_those_of_clopper_and_pearson(hits, of, low, high):
    """Known values: the rule 1 - (α/2)^(1/n) at the ends, tables of exact binomial limits elsewhere."""
    measured = proportion(hits, of)
    assert (measured.low, measured.high) == pytest.approx((low, high), abs=1e-4)
    assert measured.share == (hits / of if of else None)


def test_a_proportion_that_contradicts_itself_is_refused():
    with pytest.raises(ValueError, match="got 3 of 2"):
        proportion(3, 2)
    with pytest.raises(ValidationError):
        Proportion(hits=1, of=2, share=0.9, low=0.0, high=1.0)


@pytest.mark.parametrize(
    ("seen", "overlap", "covered", "counts"),
    {
        "shifted by five columns": ((15, 10, 35, 30), 300 / 500, 19 / 20, (1, 1)),
        "shifted by ten columns": ((20, 10, 40, 30), 200 / 600, 14 / 20, (0, 0)),
        "the left half": ((10, 10, 20, 30), 200 / 400, 12 / 20, (1, 0)),
        "a box of twice the side": ((5, 5, 45, 45), 400 / 1600, 1.0, (0, 1)),
    }.values(),
    ids=str,
)
def test_overlap_and_coverage_of_one_label(painted, treatment, seen, overlap, covered, counts):
    """Masks are 4, 4, 2 or 8 pixels larger on the left and right than what was seen."""
    result = evaluate(
        [PaintDetector()], painted(({RED: seen}, [face(LABEL)])), profile=treatment, kinds=[FACE]
    )
    (quality,) = result.quality.kinds
    assert (quality.all.found.hits, quality.all.covered.hits) == counts
    assert quality.all.pixels == pytest.approx(covered, abs=1e-4)
    missed = [(m.file, m.box, m.side, m.overlap) for m in result.misses]
    assert missed == ([] if counts == (1, 1) else [("0.png", LABEL, 20, pytest.approx(overlap, abs=1e-4))])


def test_objects_fall_into_bins_by_their_longer_side_and_light(painted, treatment):
    boxes = [(0, 0, 15, 4), (0, 0, 16, 4), (0, 0, 4, 31), (0, 0, 32, 10), (0, 0, 64, 64)]
    images = painted(*[({RED: box}, [face(box)]) for box in boxes], grey=20)
    (quality,) = evaluate([PaintDetector()], images, profile=treatment, kinds=[FACE]).quality.kinds
    assert {k: v.found.of for k, v in quality.by_side.items()} == {
        "<16": 1,
        "16-32": 2,
        "32-64": 1,
        ">=64": 1,
    }
    assert {k: v.found.of for k, v in quality.by_light.items()} == {"day": 0, "dusk": 0, "night": 5}
    assert quality.by_side["<16"].covered.share == 1.0


def test_what_meets_no_label_is_a_false_positive_unless_it_is_excused(painted, treatment):
    images = painted(
        ({RED: (60, 60, 80, 80), GREEN: LABEL}, [face(LABEL)]),
        ({RED: (60, 60, 80, 80)}, [(None, (50, 50, 90, 90), True)]),
        ({RED: (60, 60, 80, 80)}, [face((60, 60, 80, 80), ignore=True)]),
        complete=False,
    )
    quality = evaluate([PaintDetector()], images, profile=treatment, kinds=[FACE]).quality
    (faces,) = quality.kinds
    assert (faces.false_positives_per_image, faces.detections_per_image) == (0.333, 1.333)
    assert faces.all.found.of == 1
    assert quality.labels_complete is False


def test_masks_of_another_kind_do_not_count(painted, treatment):
    images = painted(({BLUE: LABEL}, [face(LABEL)]))
    (faces,) = evaluate([PaintDetector()], images, profile=treatment, kinds=[FACE]).quality.kinds
    assert (faces.all.found.hits, faces.all.pixels) == (0, 0.0)


def test_kinds_are_those_labelled_unless_named(painted, treatment):
    images = painted(({BLUE: LABEL}, [(PLATE, LABEL, False)]))
    quality = evaluate([PaintDetector()], images, profile=treatment).quality
    assert [k.kind for k in quality.kinds] == [PLATE]


def test_detections_below_the_profiles_threshold_do_not_count(painted, treatment):
    images = painted(({RED: LABEL}, [face(LABEL)]))
    weak = PaintDetector(confidence=treatment.face.threshold - 0.01)
    (faces,) = evaluate([weak], images, profile=treatment, kinds=[FACE]).quality.kinds
    assert faces.all.found.hits == 0


def test_a_second_run_resumes_and_says_the_same(painted, treatment, tmp_path):
    images = painted(*[({RED: LABEL}, [face(LABEL)])] * 3)
    state = tmp_path / "state.jsonl"
    first = evaluate([PaintDetector()], images, profile=treatment, state=state, measured_on=date(2026, 1, 2))
    lines = state.read_text().splitlines(keepends=True)
    assert len(lines) == 4
    state.write_text("".join(lines[:2]) + lines[2][:25])
    again, steps = PaintDetector(), []
    second = evaluate([again], images, profile=treatment, state=state, measured_on=date(2026, 1, 2),
                      progress=lambda done, of: steps.append((done, of)))  # fmt: skip
    assert len(again.looked_at) == 2
    assert steps == [(1, 3), (2, 3), (3, 3)]
    assert second == first
    assert state.read_text().splitlines(keepends=True) == lines


def test_a_changed_picture_or_label_is_looked_at_again(painted, treatment, tmp_path):
    state = tmp_path / "state.jsonl"
    first = evaluate(
        [PaintDetector()], painted(({RED: LABEL}, [face(LABEL)])), profile=treatment, state=state
    )
    for changed in (
        painted(({RED: LABEL}, [face((10, 10, 30, 31))])),
        painted(({GREEN: LABEL}, [face(LABEL)])),
    ):
        again = PaintDetector()
        result = evaluate([again], changed, profile=treatment, state=state)
        assert len(again.looked_at) == 1
        assert result.quality.dataset_digest != first.quality.dataset_digest


def test_the_state_of_other_detectors_or_masks_is_refused(painted, treatment, tmp_path):
    state, images = tmp_path / "state.jsonl", painted(({RED: LABEL}, [face(LABEL)]))
    evaluate([PaintDetector()], images, profile=treatment, state=state)
    other = replace(treatment, face=replace(treatment.face, enlarge=0.3))
    for detector, profile in ((PaintDetector(digest="cd" * 32), treatment), (PaintDetector(), other)):
        with pytest.raises(MalformedItemError, match="of another evaluation"):
            evaluate([detector], images, profile=profile, state=state)
    state.write_text("[]\n")
    with pytest.raises(MalformedItemError, match="no state of an evaluation"):
        evaluate([PaintDetector()], images, profile=treatment, state=state)


def test_figures_name_no_picture(painted, treatment):
    """Sets of plates are named by their plates: what is stored and shown with releases must not say them."""
    images = painted(({}, [face(LABEL)]))
    document = evaluate([PaintDetector()], images, profile=treatment).as_dict()
    assert "0.png" not in json.dumps(document["quality"])
    assert document["misses"][0]["file"] == "0.png"


def test_what_cannot_be_measured_is_an_error(painted, treatment, tmp_path):
    images = painted(({RED: LABEL}, [face(LABEL)]))
    with pytest.raises(ModelError, match="no detector"):
        evaluate([PaintDetector(kinds=frozenset({PLATE}))], images, profile=treatment, kinds=[FACE])
    outside = painted(({RED: LABEL}, [face((200, 10, 220, 30))]))
    with pytest.raises(MalformedItemError, match=r"outside 0\.png"):
        evaluate([PaintDetector()], outside, profile=treatment)
    (tmp_path / "0.png").write_bytes(b"\x89PNG no picture")
    with pytest.raises(MalformedItemError, match="cannot be decoded"):
        evaluate([PaintDetector()], images, profile=treatment)


def test_a_picture_of_another_size_than_labelled_is_refused(painted, treatment):
    images = painted(({RED: LABEL}, [face(LABEL)]))
    wrong = replace(images, images=(replace(images.images[0], size=(100, 120)),))
    with pytest.raises(MalformedItemError, match="not what was labelled"):
        evaluate([PaintDetector()], wrong, profile=treatment)


def test_embedded_detectors_on_real_faces(shared_data, profile):
    images = open_labelled(shared_data / "media" / "faces_dlib", "dlib")
    quality = evaluate(embedded_detectors(), images, profile=profile).quality
    (faces,) = quality.kinds
    assert (quality.images, faces.kind, faces.all.found.of) == (4, FACE, 18)
    assert faces.all.covered.hits >= 16


def test_loading_ultralytics_leaves_pillow_as_it_is(tmp_path):
    before = Image.open
    import_ultralytics()
    assert Image.open is before
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(OSError, match="cannot identify"):
        Image.open(tmp_path / "a.png")
