import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from anonymize.errors import ProfileError
from anonymize.finding import FieldPath, Finding, FindingKind, PixelBox
from anonymize.media.masks import (
    TEXT_KINDS,
    coverage,
    covered_share,
    enlarged,
    mask,
    masked_kinds,
    treatment_of,
)
from anonymize.profile import ImageProfile, MaskTreatment, TextMaskTreatment

KINDS = (FindingKind.FACE, FindingKind.PLATE)
# GB 5768.2: red ring of a tenth of the outer diameter.
RING_SHARE = 0.1
# The covered share from which an object counts as covered (DESIGN.md §5).
COVERED = 0.75


def images(mode: str = "mean", *, limit_sign=None, text=None, **options: object) -> ImageProfile:
    treatment = MaskTreatment(mode=mode, **{"enlarge": 0.2, "threshold": 0.2, **options})
    return ImageProfile(
        min_side_px=16, max_side_px=1000, max_pixels=10**6, jpeg_quality=90, face=treatment, plate=treatment,
        residual_threshold=0.4, residual_coverage=0.75, max_passes=3, pose_error_m=1.0, view_distance_m=1.0,
        limit_sign=limit_sign, text=text,
    )  # fmt: skip


def found(x0: int, y0: int, x1: int, y1: int, kind: FindingKind = FindingKind.FACE) -> Finding:
    return Finding(kind=kind, where=PixelBox(x0=x0, y0=y0, x1=x1, y1=y1), confidence=0.9, detector="test@0")


@st.composite
def scenes(draw):
    width, height = draw(st.integers(16, 60)), draw(st.integers(16, 60))
    findings = []
    for _ in range(draw(st.integers(0, 4))):
        x0, y0 = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
        x1, y1 = draw(st.integers(x0 + 1, width)), draw(st.integers(y0 + 1, height))
        findings.append(found(x0, y0, x1, y1, draw(st.sampled_from(KINDS))))
    pixels = np.random.default_rng(draw(st.integers(0, 2**32 - 1))).integers(
        0, 256, (height, width, 3), np.uint8
    )
    return pixels, findings


@settings(max_examples=80, deadline=None)
@given(
    scene=scenes(),
    mode=st.sampled_from(["mean", "solid", "pixelate", "blur"]),
    shape=st.sampled_from(["box", "ellipse"]),
    enlarge=st.sampled_from([0.0, 0.1, 0.3]),
)
def test_pixels_outside_are_kept_objects_covered_and_the_input_is_not_changed(scene, mode, shape, enlarge):
    pixels, findings = scene
    before = pixels.copy()
    profile = images(mode, shape=shape, enlarge=enlarge, accept_inversion_risk=True)
    masked = mask(pixels, findings, profile=profile)
    assert np.array_equal(pixels, before)
    assert masked.image is not pixels
    assert np.array_equal(masked.image[~masked.mask], before[~masked.mask])
    inside = np.zeros_like(masked.mask)
    for finding in findings:
        box = finding.where
        inside[box.y0 : box.y1, box.x0 : box.x1] = True
    assert masked.mask[inside].all()
    assert len(masked.boxes) == len(findings)
    assert np.array_equal(coverage(findings, size=pixels.shape[1::-1], profile=profile), masked.mask)


@settings(max_examples=60, deadline=None)
@given(scene=scenes(), mode=st.sampled_from(["mean", "solid"]), seed=st.integers(0, 2**32 - 1))
def test_contents_of_the_same_mean_give_the_same_output(scene, mode, seed):
    pixels, findings = scene
    if not findings:
        return
    profile = images(mode)
    box = mask(pixels, findings[:1], profile=profile).boxes[0]
    shuffled = pixels.copy()
    region = shuffled[box.y0 : box.y1, box.x0 : box.x1].reshape(-1, 3)
    order = np.random.default_rng(seed).permutation(len(region))
    shuffled[box.y0 : box.y1, box.x0 : box.x1] = region[order].reshape(box.y1 - box.y0, box.x1 - box.x0, 3)
    once, twice = (mask(p, findings[:1], profile=profile).image for p in (pixels, shuffled))
    assert np.array_equal(once, twice)


@settings(max_examples=60, deadline=None)
@given(scene=scenes())
def test_a_pixelated_plate_leaves_three_colours_at_most(scene):
    pixels, findings = scene
    profile = images("pixelate")
    for finding in findings:
        plate = found(
            finding.where.x0, finding.where.y0, finding.where.x1, finding.where.y1, FindingKind.PLATE
        )
        masked = mask(pixels, [plate], profile=profile)
        box = masked.boxes[0]
        region = masked.image[box.y0 : box.y1, box.x0 : box.x1].reshape(-1, 3)
        assert len(np.unique(region, axis=0)) <= 3
        assert {int(v) % 16 for v in np.unique(region)} == {8}, "a cell is the middle of one of 16 levels"


def test_the_average_of_many_pixelated_frames_tells_no_more_than_one():
    """Noise moves exact means from frame to frame; rounded ones stay where they are."""
    rng = np.random.default_rng(4)
    scene = np.full((40, 120, 3), 84, np.uint8)
    scene[10:30, 20:100] = 135
    scene[10:30, 40:60] = 70
    plate = found(20, 10, 100, 30, FindingKind.PLATE)
    frames = [
        mask(
            np.clip(scene + rng.normal(0, 6, scene.shape), 0, 255).astype(np.uint8),
            [plate],
            profile=images("pixelate"),
        ).image
        for _ in range(30)
    ]
    cells = [frame[15, [15, 60, 104]] for frame in frames]
    assert np.ptp(cells, axis=0).max() == 0


@pytest.mark.parametrize(("kind", "cells"), [(FindingKind.PLATE, 4), (FindingKind.FACE, 9)])
def test_pixelation_that_would_leave_too_much_is_refused(kind, cells):
    with pytest.raises(ProfileError, match="too many cells"):
        mask(
            np.zeros((40, 40, 3), np.uint8),
            [found(5, 5, 20, 20, kind)],
            profile=images("pixelate", cells=cells),
        )


@pytest.mark.parametrize(
    "corner", [(0, 0, 9, 9), (51, 0, 60, 9), (0, 31, 9, 40), (51, 31, 60, 40), (0, 0, 60, 40)]
)
def test_border_rows_and_columns_are_covered(corner):
    masked = mask(np.zeros((40, 60, 3), np.uint8), [found(*corner)], profile=images("solid", enlarge=0.0))
    x0, y0, x1, y1 = corner
    assert masked.mask[y0:y1, x0:x1].all()
    assert (masked.image[y0:y1, x0:x1] == 128).all()


def test_boxes_near_the_border_take_it_with_them():
    box = enlarged(PixelBox(x0=3, y0=3, x1=57, y1=37), share=0.0, size=(60, 40))
    assert box == PixelBox(x0=0, y0=0, x1=60, y1=40)


def test_the_order_of_findings_does_not_matter():
    pixels = np.random.default_rng(3).integers(0, 256, (50, 50, 3), np.uint8)
    findings = [found(5, 5, 25, 25), found(15, 15, 45, 40), found(10, 20, 20, 30, FindingKind.PLATE)]
    a, b = (mask(pixels, order, profile=images("mean")) for order in (findings, findings[::-1]))
    assert np.array_equal(a.image, b.image)


def test_findings_that_cannot_be_masked_are_refused():
    pixels = np.zeros((40, 40, 3), np.uint8)
    profile = images("mean")
    with pytest.raises(ProfileError, match="limit_sign"):
        mask(pixels, [found(1, 1, 9, 9, FindingKind.LIMIT_SIGN)], profile=profile)
    for box in ((-1, 0, 5, 5), (0, 0, 41, 5), (5, 5, 5, 9)):
        with pytest.raises(ValueError, match="does not lie in the image"):
            mask(pixels, [found(*box)], profile=profile)
    nowhere = Finding(kind=FindingKind.FACE, where=FieldPath(path="x"), confidence=1.0, detector="test@0")
    with pytest.raises(ValueError, match="pixel boxes"):
        mask(pixels, [nowhere], profile=profile)


@pytest.mark.parametrize("box", [(0, 10, 20, 30), (40, 12, 59, 30), (20, 1, 40, 20), (20, 20, 41, 39)])
def test_an_ellipse_takes_the_border_with_it(box):
    x0, y0, x1, y1 = box
    masked = mask(np.zeros((40, 60, 3), np.uint8), [found(*box)], profile=images("solid", shape="ellipse"))
    assert masked.mask[y0:y1, x0:x1].all()
    assert masked.mask[y0 : y1 + (y1 == 39), 59].all() or x1 < 58
    assert masked.mask[0, x0:x1].all() or y0 > 2
    assert masked.mask[39, x0:x1].all() or y1 < 38


def test_an_ellipse_spares_the_corners_that_a_box_of_its_size_would_take():
    masked = mask(np.zeros((100, 100, 3), np.uint8), [found(30, 30, 70, 70)], profile=images(shape="ellipse"))
    box = masked.boxes[0]
    share = masked.mask.sum() / ((box.x1 - box.x0) * (box.y1 - box.y0))
    assert share == pytest.approx(np.pi / 4, abs=0.05)
    assert masked.mask[30:70, 30:70].all()


@pytest.fixture(scope="module")
def sign():
    """A height-limit sign after GB 5768.2, 100 pixels wide, on a plain wall, and where its figure is."""
    image = Image.new("RGB", (160, 160), (120, 130, 125))
    draw = ImageDraw.Draw(image)
    draw.ellipse((30, 30, 129, 129), fill=(200, 20, 30))
    ring = round(100 * RING_SHARE)
    draw.ellipse((30 + ring, 30 + ring, 129 - ring, 129 - ring), fill="white")
    draw.text((80, 80), "3.5m", fill="black", font=ImageFont.load_default(26), anchor="mm")
    draw.polygon([(70, 44), (90, 44), (80, 57)], fill="black")
    draw.polygon([(70, 116), (90, 116), (80, 103)], fill="black")
    pixels = np.asarray(image)
    return pixels, pixels.max(axis=2) < 100


FIGURE = MaskTreatment(mode="mean", region="figure", enlarge=0.05, threshold=0.3)


def sign_at(x0: float, y0: float, x1: float, y1: float):
    return found(round(x0), round(y0), round(x1), round(y1), FindingKind.LIMIT_SIGN)


def test_a_sign_loses_its_figure_and_keeps_its_ring(sign):
    pixels, figure = sign
    masked = mask(pixels, [sign_at(30, 30, 130, 130)], profile=images(limit_sign=FIGURE))
    assert masked.mask[figure].all()
    red = (pixels[..., 0] > 180) & (pixels[..., 1] < 60)
    assert masked.mask[red].mean() < 0.5
    assert (masked.image[red & ~masked.mask][:, 0] > 180).all()
    assert not masked.mask[:30].any()
    assert masked.image[figure].min() > 150, "white with a little black, on average"


@pytest.mark.parametrize(
    ("dx", "dy"), [(15, 0), (-15, 0), (0, 15), (0, -15), (11, 11), (-11, 11), (11, -11), (-11, -11)]
)
def test_a_figure_is_covered_when_the_box_is_off_by_15_percent(sign, dx, dy):
    pixels, figure = sign
    profile = images(limit_sign=FIGURE)
    masked = mask(pixels, [sign_at(30 + dx, 30 + dy, 130 + dx, 130 + dy)], profile=profile)
    number = figure.copy()
    number[:60] = number[100:] = False
    assert masked.mask[number].mean() >= COVERED
    assert masked.mask[figure].mean() >= COVERED


@pytest.mark.parametrize("scale", [0.85, 1.15])
def test_a_figure_is_covered_when_the_box_has_the_wrong_size(sign, scale):
    pixels, figure = sign
    half = 50 * scale
    box = sign_at(80 - half, 80 - half, 80 + half, 80 + half)
    assert mask(pixels, [box], profile=images(limit_sign=FIGURE)).mask[figure].mean() >= 0.95


def test_a_sign_that_is_cut_off_is_masked_as_a_whole(sign):
    pixels, _ = sign
    cut = np.ascontiguousarray(pixels[:, 80:])
    masked = mask(cut, [sign_at(0, 30, 50, 130)], profile=images(limit_sign=FIGURE))
    assert masked.mask[30:130, 0:50].all()


def test_a_masked_figure_counts_as_covered_although_its_ring_shows(sign):
    pixels, _ = sign
    profile = images(limit_sign=FIGURE)
    box = sign_at(30, 30, 130, 130)
    covered = mask(pixels, [box], profile=profile).mask
    assert covered_share(box, covered, profile=profile) == 1.0
    assert covered[30:130, 30:130].mean() < COVERED
    assert covered_share(box, np.zeros_like(covered), profile=profile) == 0.0
    assert covered_share(found(30, 30, 130, 130), covered, profile=profile) < COVERED


def test_kinds_follow_from_the_profile():
    both = {FindingKind.FACE, FindingKind.PLATE}
    treatment = MaskTreatment(mode="mean", enlarge=0.1, threshold=0.3)
    assert masked_kinds(images()) == both
    assert masked_kinds(images(limit_sign=FIGURE)) == both | {FindingKind.LIMIT_SIGN}
    phones = TextMaskTreatment(mask=treatment, kinds=("phone",))
    assert masked_kinds(images(text=phones)) == both | {FindingKind.PHONE}
    everything = TextMaskTreatment(mask=treatment, kinds=("any",))
    assert masked_kinds(images(text=everything)) == both | TEXT_KINDS
    assert treatment_of(FindingKind.PHONE, images(text=phones)) is treatment
    with pytest.raises(ProfileError, match="address"):
        treatment_of(FindingKind.ADDRESS, images(text=phones))


def test_a_blur_is_relative_to_the_object_and_sees_nothing_beyond_it():
    pixels = np.random.default_rng(1).integers(0, 256, (80, 80, 3), np.uint8)
    profile = images("blur", accept_inversion_risk=True, enlarge=0.0, blur_share=0.5)
    box = found(20, 20, 60, 60)
    other = pixels.copy()
    masked = mask(pixels, [box], profile=profile)
    edge = masked.boxes[0]
    other[: edge.y0], other[edge.y1 :] = 0, 0
    inside = (slice(edge.y0, edge.y1), slice(edge.x0, edge.x1))
    assert np.array_equal(masked.image[inside], mask(other, [box], profile=profile).image[inside])
    assert masked.image[inside].std() < pixels.std() / 10
