# ruff: noqa: ARG002 - detectors of the tests ignore what they are asked
import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from anonymize.finding import Finding, FindingKind, PixelBox
from anonymize.media.detection import Look
from anonymize.media.image_residual import residual_thresholds
from anonymize.media.images import cleanse_image, scan_image
from anonymize.profile import shipped_profile

PLACES = {(60, 60): 40, (400, 30): 64, (480, 180): 96}
"""Left upper corner of each sign: its diameter, in pixels."""


def height_limit(text: str, diameter: int) -> Image.Image:
    """限制高度 of GB 5768.2: a white disc of four fifths in a red ring, the figure between two triangles."""
    side = 4 * diameter
    sign = Image.new("RGBA", (side, side))
    draw = ImageDraw.Draw(sign)
    draw.ellipse((0, 0, side - 1, side - 1), fill=(200, 20, 30))
    draw.ellipse((side * 0.1, side * 0.1, side * 0.9, side * 0.9), fill=(238, 238, 236))
    for base, tip in ((0.13, 0.26), (0.87, 0.74)):
        draw.polygon(
            [(side * 0.38, side * base), (side * 0.62, side * base), (side * 0.5, side * tip)], "black"
        )
    font = ImageFont.load_default(size=side * 0.3)
    draw.text((side / 2, side / 2), text, fill="black", font=font, anchor="mm")
    return sign.resize((diameter, diameter), Image.Resampling.LANCZOS)


@pytest.fixture(scope="module")
def photograph(street) -> np.ndarray:
    scene = Image.open(io.BytesIO(street)).convert("RGB")
    for (at, diameter), text in zip(PLACES.items(), ("3.5m", "4.5m", "2.8m"), strict=True):
        sign = height_limit(text, diameter)
        scene.paste(sign, at, sign)
    return np.asarray(scene)


def distance(diameter: int) -> np.ndarray:
    """Of each pixel of a sign from its middle, as a share of its radius."""
    across = (np.arange(diameter) + 0.5) / diameter * 2 - 1
    return np.hypot(across[:, None], across[None, :])


def test_the_shipped_profile_takes_the_figure_and_leaves_the_ring(photograph, as_bytes, detectors, shipped):
    content = as_bytes(photograph, "png")
    treated = cleanse_image(content, "png", detectors=detectors, profile=shipped)
    assert treated.facts["masked"]["limit_sign"] == len(PLACES)
    after = np.asarray(Image.open(io.BytesIO(treated.content)))
    for (x, y), diameter in PLACES.items():
        sign, drawn = (a[y : y + diameter, x : x + diameter].astype(int) for a in (after, photograph))
        away = distance(diameter)
        figure, ring = away < 0.65, (away > 0.92) & (away < 0.98)
        assert drawn[figure].min() < 60
        # The middle is one colour, so that no figure can be read.
        assert np.unique(sign[figure], axis=0).shape[0] == 1
        if diameter >= 64:  # of a smaller one, boxes rounded to whole pixels leave parts of the ring
            assert (sign[ring] == drawn[ring]).all(axis=-1).mean() > 0.75
            red = (sign[..., 0] > 150) & (sign[..., 1] < 90) & (sign[..., 2] < 90)
            assert red[ring].mean() > 0.75
    report = scan_image(treated.content, "png", detectors=detectors, profile=shipped, masked=treated.findings)
    assert report.clean


def test_the_residual_scan_reads_a_sign_that_was_left(photograph, as_bytes, detectors, shipped):
    content = as_bytes(photograph, "png")
    report = scan_image(content, "png", detectors=detectors, profile=shipped, masked=())
    signs = [f for f in report.residual if f.kind is FindingKind.LIMIT_SIGN]
    assert len(signs) >= len(PLACES)


class Certain:
    """Finds one box of each kind, with the confidence that it was made with."""

    name = "certain"
    digest = "c" * 64
    kinds = frozenset({FindingKind.FACE, FindingKind.PLATE, FindingKind.LIMIT_SIGN})

    def __init__(self, confidence: float, *kinds: FindingKind):
        self.confidence, self.found = confidence, kinds

    def detect(self, image, *, threshold, look=Look.MASKING):
        if self.confidence < threshold:
            return ()
        where = PixelBox(x0=20, y0=20, x1=60, y1=60)
        return tuple(
            Finding(kind=k, where=where, confidence=self.confidence, detector="certain@0") for k in self.found
        )


def test_no_kind_is_objected_to_below_its_own_threshold(scenery, as_bytes, shipped):
    """Otherwise the second look would mask, at another confidence, what the first one had to leave."""
    sign = shipped.limit_sign
    assert sign.threshold > shipped.residual_threshold > shipped.face.threshold
    assert residual_thresholds(shipped) == {
        FindingKind.FACE: shipped.residual_threshold,
        FindingKind.PLATE: shipped.residual_threshold,
        FindingKind.LIMIT_SIGN: sign.threshold,
    }
    between = (shipped.residual_threshold + sign.threshold) / 2
    content = as_bytes(scenery, "png")

    def objected_to(confidence: float) -> set[FindingKind]:
        detector = Certain(confidence, *Certain.kinds)
        report = scan_image(content, "png", detectors=[detector], profile=shipped, masked=())
        return {f.kind for f in report.residual}

    assert objected_to(sign.threshold) == Certain.kinds
    assert objected_to(between) == {FindingKind.FACE, FindingKind.PLATE}
    assert objected_to(shipped.residual_threshold - 0.01) == set()
    assert residual_thresholds(replace(shipped, limit_sign=None)).keys() == {
        FindingKind.FACE, FindingKind.PLATE,
    }  # fmt: skip

    leaving = Certain(between, FindingKind.LIMIT_SIGN)
    treated = cleanse_image(content, "png", detectors=[leaving], profile=shipped)
    assert treated.facts["masked"]["limit_sign"] == 0
    assert treated.facts["passes"] == 1


def test_signs_are_masked_in_china_only():
    assert shipped_profile("cn-2026").profile.images.limit_sign.region == "figure"
    assert shipped_profile("gdpr").profile.images.limit_sign is None
