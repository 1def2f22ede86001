import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymize.errors import ProfileError
from anonymize.finding import FieldPath, Finding, FindingKind, PixelBox
from anonymize.media.masks import enlarged, mask
from anonymize.profile import ImageProfile, MaskTreatment

KINDS = (FindingKind.FACE, FindingKind.PLATE)


def images(mode: str, *, cells: int = 3, enlarge: float = 0.2) -> ImageProfile:
    treatment = MaskTreatment(mode=mode, enlarge=enlarge, threshold=0.2, cells=cells)
    return ImageProfile(
        min_side_px=16, max_side_px=1000, max_pixels=10**6, jpeg_quality=90, face=treatment, plate=treatment,
        residual_threshold=0.4, residual_coverage=0.75, max_passes=3, pose_error_m=1.0, view_distance_m=1.0,
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
@given(scene=scenes(), mode=st.sampled_from(["mean", "solid", "pixelate"]))
def test_pixels_outside_are_kept_and_the_input_is_not_changed(scene, mode):
    pixels, findings = scene
    before = pixels.copy()
    masked = mask(pixels, findings, profile=images(mode))
    assert np.array_equal(pixels, before)
    assert masked.image is not pixels
    assert np.array_equal(masked.image[~masked.mask], before[~masked.mask])
    inside = np.zeros_like(masked.mask)
    for finding in findings:
        box = finding.where
        inside[box.y0 : box.y1, box.x0 : box.x1] = True
    assert masked.mask[inside].all()
    assert len(masked.boxes) == len(findings)


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
