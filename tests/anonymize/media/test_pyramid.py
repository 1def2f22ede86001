"""Windows, scales, batches and looks, on a network that finds exactly what is there and on the real ones."""

import hashlib
import io
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from anonymize.errors import ModelError
from anonymize.finding import FindingKind
from anonymize.media.architectures import open_detector
from anonymize.media.centerface import CenterFace
from anonymize.media.detection import Look, Reach, embedded_detectors
from anonymize.media.pyramid import Boxes, PyramidDetector
from anonymize.media.tiling import ObjectSizes, Rectangle, Scale, areas_around, scales_for, windows

SIZES = ObjectSizes(smallest_px=16, largest_px=320)
RED = 200


class RedSquares:
    """A network that finds whole red objects of its sizes, and answers weakly to those of half its least size."""

    name, digest, runtime = "red", "e" * 64, "numpy"
    classes = {0: (FindingKind.FACE, "red")}  # noqa: RUF012 - a network's attribute, not shared state
    sizes = {FindingKind.FACE: SIZES}  # noqa: RUF012 - the same
    canvas, padding, batch, overlap = None, 0, 1, 0.5

    def __init__(self, weakest=0.25):
        self.weakest = weakest
        self.seen = []

    def infer(self, batch, *, threshold):
        self.seen.append(batch.shape[:3])
        return [self._one(image, threshold) for image in batch]

    def _one(self, image, threshold):
        red = (image[..., 0] > RED // 2) & (image[..., 1] < RED // 2)
        boxes = []
        for rows, columns in ndimage.find_objects(ndimage.label(red)[0]):
            height = rows.stop - rows.start
            score = 0.9 if SIZES.smallest_px * 0.8 <= height <= SIZES.largest_px * 1.1 else 0.2
            if score >= threshold:
                boxes.append((columns.start, rows.start, columns.stop, rows.stop, score))
        found = np.array(boxes, np.float32).reshape(-1, 5)
        return Boxes(corners=found[:, :4], scores=found[:, 4], classes=np.zeros(len(found), np.intp))


def planted(size, boxes):
    image = np.full((size[1], size[0], 3), 60, np.uint8)
    for x0, y0, side in boxes:
        image[y0 : y0 + side, x0 : x0 + side] = (RED, 60, 60)
    return image


def near(finding, box, within):
    x0, y0, side = box
    where = finding.where
    return (
        max(abs(where.x0 - x0), abs(where.y0 - y0), abs(where.x1 - x0 - side), abs(where.y1 - y0 - side))
        <= within
    )


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(1, 13000), height=st.integers(1, 7000), reach=st.integers(6, 60),
    look=st.sampled_from(list(Look)), object_px=st.floats(0, 1), x=st.floats(0, 1), y=st.floats(0, 1),
)  # fmt: skip
def test_every_object_of_a_size_lies_whole_in_a_window_of_a_pass_that_finds_it(
    width, height, reach, look, object_px, x, y
):
    tallest = min(width, height)
    side = max(1, round(min(reach, tallest) + object_px * (tallest - min(reach, tallest))))
    left, top = round(x * (width - side)), round(y * (height - side))
    passes = scales_for((width, height), reach, SIZES, look)
    assert all(round(b.factor / a.factor, 6) == 2 for a, b in pairwise(passes))
    area = Rectangle(x0=0, y0=0, x1=width, y1=height)
    slack = 0.75 if look is Look.RESIDUAL else 1.0
    held = [
        w
        for scale in passes
        if side * scale.factor <= SIZES.largest_px
        and (side < reach or side * scale.factor >= SIZES.smallest_px * slack - 1e-9)
        for w in windows(area, scale, (1920, 1920))
        if w.x0 <= left and w.y0 <= top and left + side <= w.x1 and top + side <= w.y1
    ]
    assert held, [(s.factor, s.overlap_px) for s in passes]


@settings(max_examples=40, deadline=None)
@given(
    width=st.integers(20, 4000), height=st.integers(20, 4000), factor=st.floats(0.05, 3),
    boxes=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.integers(1, 60)), max_size=8),
)  # fmt: skip
def test_what_responds_weakly_lies_in_an_area_with_context(width, height, factor, boxes):
    scale = Scale(factor=factor, overlap_px=8, smaller_than_px=60)
    corners = np.array(
        [(x * width, y * height, x * width + s, y * height + s) for x, y, s in boxes], np.float32
    )
    areas = areas_around(corners.reshape(-1, 4), (width, height), scale)
    assert bool(areas) == any(x < 1 and y < 1 for x, y, _ in boxes) or not boxes
    for x0, y0, x1, y1 in corners:
        if x0 < width and y0 < height:
            assert any(
                a.x0 <= max(0, x0)
                and a.y0 <= max(0, y0)
                and a.x1 >= min(width, x1)
                and a.y1 >= min(height, y1)
                for a in areas
            )


def test_a_panorama_is_searched_in_windows_and_small_objects_on_their_seams_are_found():
    size = (12288, 6144)
    network = RedSquares()
    detector = PyramidDetector(network, reach={FindingKind.FACE: 20})
    finest = detector.passes(size, Look.MASKING)[-2]
    seams = windows(Rectangle(x0=0, y0=0, x1=size[0], y1=size[1]), finest, (1920, 1920))
    corners = [(w.x1 - 12, w.y1 - 12, 24) for w in seams if w.x1 < size[0] and w.y1 < size[1]]
    corners += [(w.x0 - 12, w.y0 + 900, 24) for w in seams if w.x0 > 0]
    boxes = [*corners, (0, 0, 22), (size[0] - 26, size[1] - 26, 26), (5000, 500, 2800)]
    image = planted(size, boxes)
    assert len(corners) >= 4
    tracemalloc.start()
    found = detector.detect(image, threshold=0.5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    for box in boxes:
        assert any(near(f, box, within=3 + box[2] // 20) for f in found), box
    assert max(h * w for _, h, w in network.seen) <= 1984 * 1984
    assert peak < 2 * image.nbytes


def test_where_weak_responses_are_told_the_finest_pass_looks_there_only():
    boxes = [(1501, 803, 10)]
    image = planted((1920, 1080), boxes)
    told, untold = RedSquares(), RedSquares(weakest=None)
    for network in (told, untold):
        (found,) = PyramidDetector(network, reach={FindingKind.FACE: 10}).detect(image, threshold=0.5)
        assert near(found, boxes[0], within=2)
    areas = [sum(h * w for _, h, w in n.seen) for n in (told, untold)]
    assert areas[0] < areas[1] / 2


def test_the_residual_look_is_mirrored_and_at_other_scales_and_answers_in_the_image_itself():
    boxes = [(100, 40, 24), (400, 200, 90)]
    image = planted((640, 360), boxes)
    network = RedSquares()
    detector = PyramidDetector(network, reach={FindingKind.FACE: 10})
    factors = {look: {s.factor for s in detector.passes((640, 360), look)} for look in Look}
    assert not factors[Look.MASKING] & factors[Look.RESIDUAL]
    for look in Look:
        found = detector.detect(image, threshold=0.5, look=look)
        assert len(found) == len(boxes)
        assert all(any(near(f, box, within=3) for f in found) for box in boxes)


def test_a_batch_is_what_its_images_are_alone():
    rng = np.random.default_rng(3)
    images = [
        planted((w, h), [(int(rng.integers(0, w - 40)), 30, 20)]) for w, h in ((320, 200), (500, 300)) * 2
    ]
    network = RedSquares()
    network.batch = 3
    detector = PyramidDetector(network, reach={FindingKind.FACE: 10})
    together = detector.detect_batch(images, threshold=0.5)
    assert any(n > 1 for n, _, _ in network.seen)
    assert together == tuple(detector.detect(image, threshold=0.5) for image in images)
    assert all(len(f) == 1 for f in together)
    assert detector.detect_batch((), threshold=0.5) == ()


def test_kinds_without_a_reach_and_classes_that_do_not_exist_are_refused():
    with pytest.raises(ModelError, match="no known size"):
        PyramidDetector(RedSquares(), reach={FindingKind.PLATE: 10})
    with pytest.raises(ModelError, match="that small"):
        PyramidDetector(RedSquares(), reach={FindingKind.FACE: 5})
    with pytest.raises(ModelError, match="at least one pixel"):
        Reach(face_px=0)
    network = RedSquares()
    network.classes = {7: (FindingKind.FACE, "other")}
    with pytest.raises(ModelError, match="unknown class"):
        PyramidDetector(network, reach={FindingKind.FACE: 10}).detect(
            planted((200, 100), [(20, 20, 30)]), threshold=0.5
        )


@pytest.fixture(scope="module")
def street_pixels(street):
    return np.asarray(Image.open(io.BytesIO(street)).convert("RGB"))


def _overlap(a, b):
    width, height = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
    shared = max(0, width) * max(0, height)
    return shared / ((a.x1 - a.x0) * (a.y1 - a.y0) + (b.x1 - b.x0) * (b.y1 - b.y0) - shared)


@pytest.mark.parametrize("look", list(Look))
def test_both_engines_find_the_same(street_pixels, look):
    reach = Reach(face_px=16, plate_px=24)
    sides = [embedded_detectors(reach, engine) for engine in ("openvino", "onnxruntime")]
    for ours, theirs in zip(*sides, strict=True):
        assert (ours.digest, ours.kinds) == (theirs.digest, theirs.kinds)
        assert ours.runtime != theirs.runtime
        found, again = (d.detect(street_pixels, threshold=0.4, look=look) for d in (ours, theirs))
        for finding in (*found, *again):
            if finding.confidence > 0.5:
                others = again if finding in found else found
                assert any(
                    _overlap(finding.where, o.where) > 0.7 and abs(finding.confidence - o.confidence) < 0.1
                    for o in others
                ), finding
    assert len(sides[0][0].detect(street_pixels, threshold=0.5, look=look)) >= 2


def test_the_arithmetic_can_be_chosen(street_pixels):
    exact = PyramidDetector(CenterFace(precision="f32"), reach={FindingKind.FACE: 16})
    fast = PyramidDetector(CenterFace(), reach={FindingKind.FACE: 16})
    assert exact.runtime.endswith("f32")
    found, again = (d.detect(street_pixels, threshold=0.5) for d in (exact, fast))
    assert len(found) == len(again) >= 2
    assert all(any(_overlap(f.where, a.where) > 0.8 for a in again) for f in found)


def test_batches_of_the_embedded_detectors_are_what_their_images_are_alone(street_pixels):
    images = [street_pixels[:160], street_pixels[160:], street_pixels[:, :400]]
    for detector in embedded_detectors(Reach(face_px=16, plate_px=24)):
        assert detector.detect_batch(images, threshold=0.3) == tuple(
            detector.detect(image, threshold=0.3) for image in images
        )


def test_yunet_of_the_shared_samples_is_a_second_face_detector_by_its_card_alone(samples, street_pixels):
    path = samples / "weights" / "face" / "yunet_n_dynamic.onnx"
    content = path.read_bytes()
    known = {"name": "yunet-n", "sha256": hashlib.sha256(content).hexdigest()}
    detector = open_detector("yunet", path, classes={"face": FindingKind.FACE}, **known)
    assert detector.kinds == {FindingKind.FACE}
    theirs = embedded_detectors()[0].detect(street_pixels, threshold=0.6)
    found = detector.detect(street_pixels, threshold=0.6)
    assert len(theirs) >= 2
    assert all(any(_overlap(f.where, t.where) > 0.4 for f in found) for t in theirs)
    with pytest.raises(ModelError, match="one class"):
        open_detector("yunet", path, classes={}, **known)
    other = samples / "weights" / "face" / "version-RFB-320.onnx"
    with pytest.raises(ModelError, match=r"no YuNet|failed|does not load"):
        open_detector(
            "yunet", other, name="ulfg", sha256=hashlib.sha256(other.read_bytes()).hexdigest(),
            classes={"face": FindingKind.FACE},
        )  # fmt: skip


@pytest.mark.parametrize(
    ("architecture", "options", "message"),
    [
        ("resnet", {}, "unknown architecture"),
        ("centerface", {"classes": {"plate": FindingKind.PLATE}}, "faces only"),
        ("centerface", {}, "wrong digest"),
        ("yunet", {}, "wrong digest"),
        ("yolo-nms", {}, "wrong digest"),
        ("ultralytics", {}, "wrong digest"),
    ],
)
def test_models_of_another_kind_or_digest_are_refused(tmp_path, architecture, options, message):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no model")
    chosen = {"classes": {"face": FindingKind.FACE}, **options}
    with pytest.raises(ModelError, match=message):
        open_detector(architecture, path, name="other", sha256="0" * 64, **chosen)
    with pytest.raises(ModelError, match=r"does not exist|unknown architecture|faces only"):
        open_detector(architecture, tmp_path / "absent.onnx", name="other", sha256="0" * 64, **chosen)


def test_a_box_of_an_object_that_would_be_seen_plainly_needs_the_confidence_for_it():
    network = RedSquares()
    plain = ObjectSizes(smallest_px=16, largest_px=320, plain_px=72, plain_confidence=0.95)
    image = planted((640, 480), [(60, 60, 40), (300, 200, 100)])
    both = PyramidDetector(network, reach={FindingKind.FACE: 16}).detect(image, threshold=0.5)
    network.sizes = {FindingKind.FACE: plain}
    small = PyramidDetector(network, reach={FindingKind.FACE: 16}).detect(image, threshold=0.5)
    assert len(both) == 2
    assert [near(f, (60, 60, 40), 3) for f in small] == [True]
