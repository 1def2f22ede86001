# ruff: noqa: ARG002 - detectors of the tests ignore what they are asked
import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from anonymize.errors import MalformedItemError, ModelError, ResidualError
from anonymize.finding import Finding, FindingKind, PixelBox, TreatmentKind
from anonymize.media.detection import Look
from anonymize.media.images import cleanse_image, scan_image
from anonymize.media.mask_file import decode_mask
from anonymize.profile import MaskTreatment, TextMaskTreatment


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


class Blind:
    """Finds nothing."""

    name = "blind"
    digest = "b" * 64
    kinds = frozenset({FindingKind.FACE, FindingKind.PLATE})

    def detect(self, image, *, threshold, look=Look.MASKING):
        return ()


class Broken(Blind):
    def detect(self, image, *, threshold, look=Look.MASKING):
        raise RuntimeError("out of memory")


class Bright(Blind):
    """Finds the box around all pixels brighter than 200 where there are any."""

    def detect(self, image, *, threshold, look=Look.MASKING):
        rows, columns = np.nonzero(image.min(axis=2) > 200)
        if not rows.size:
            return ()
        box = PixelBox(
            x0=int(columns.min()), y0=int(rows.min()), x1=int(columns.max()) + 1, y1=int(rows.max()) + 1
        )
        return (Finding(kind=FindingKind.PLATE, where=box, confidence=0.9, detector="bright@0"),)


class Shy(Bright):
    """Finds what ``Bright`` finds, but only at the second look."""

    def __init__(self):
        self.calls = 0

    def detect(self, image, *, threshold, look=Look.MASKING):
        self.calls += 1
        return super().detect(image, threshold=threshold) if self.calls > 1 else ()


class Signs(Bright):
    """Finds a limit sign where ``Bright`` finds a plate."""

    kinds = frozenset({FindingKind.LIMIT_SIGN})

    def detect(self, image, *, threshold, look=Look.MASKING):
        return tuple(
            replace(f, kind=FindingKind.LIMIT_SIGN) for f in super().detect(image, threshold=threshold)
        )


class Restless(Blind):
    """Finds another pixel each time."""

    def __init__(self):
        self.at = 0

    def detect(self, image, *, threshold, look=Look.MASKING):
        self.at += 12
        box = PixelBox(x0=self.at, y0=40, x1=self.at + 3, y1=43)
        return (Finding(kind=FindingKind.FACE, where=box, confidence=0.9, detector="restless@0"),)


@pytest.fixture(scope="module")
def with_plate(scenery):
    image = np.minimum(scenery, 150)
    image[40:52, 30:70] = 240
    image[44:48, 34:66:4] = 0
    return image


@pytest.fixture(scope="module")
def treated_street(street, detectors, shipped):
    return cleanse_image(street, "jpeg", detectors=detectors, profile=shipped)


def test_real_faces_are_covered(treated_street, street, detectors, shipped):
    assert treated_street.media_type == "image/jpeg"
    assert treated_street.facts["faces"] >= 2
    assert (treated_street.facts["width"], treated_street.facts["height"]) == (600, 320)
    before, after = pixels(street), pixels(treated_street.content)
    assert before.shape == after.shape
    boxes = [f.where for f in treated_street.findings if f.kind is FindingKind.FACE and f.confidence > 0.7]
    assert len(boxes) >= 2
    for box in boxes:
        assert after[box.y0 : box.y1, box.x0 : box.x1].std(axis=(0, 1)).max() < 4
        assert before[box.y0 : box.y1, box.x0 : box.x1].std(axis=(0, 1)).max() > 20
    faces = detectors[0].detect(after, threshold=shipped.residual_threshold)
    assert all(any(b.x0 - 30 < f.where.x0 and f.where.x1 < b.x1 + 30 for b in boxes) for f in faces), (
        "a face was left in the open"
    )


def test_the_residual_scan_finds_the_treated_street_clean(treated_street, street, detectors, shipped):
    masked = treated_street.findings
    report = scan_image(treated_street.content, "jpeg", detectors=detectors, profile=shipped, masked=masked)
    assert report.clean
    assert len(report.scanners) == 3
    faces = scan_image(street, "jpeg", detectors=detectors, profile=shipped, masked=())
    assert {FindingKind.FACE} <= {f.kind for f in faces.residual}


@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_nothing_planted_beside_the_pixels_survives(planted, scenery, profile, kind):
    content = getattr(planted, kind)(Image.fromarray(scenery))
    assert sum(canary in content for canary in planted.CANARIES) >= 3
    treated = cleanse_image(content, kind, detectors=[Blind()], profile=profile)
    for canary in (*planted.CANARIES, b"Exif", b"GPS", b"xmp", b"ICC", b"http", b"tEXt", b"iTXt", b"eXIf"):
        assert canary not in treated.content
    report = scan_image(treated.content, kind, detectors=[Blind()], profile=profile, masked=())
    assert report.clean
    assert not scan_image(content, kind, detectors=[Blind()], profile=profile, masked=()).clean
    counts = {t.of: t.count for t in treated.treatments if t.kind is TreatmentKind.STRIP_METADATA}
    assert counts[FindingKind.METADATA] >= 3
    assert counts[FindingKind.EMBEDDED_IMAGE] == 1


def test_a_thumbnail_of_the_original_does_not_survive(planted, scenery, as_bytes, profile):
    preview = as_bytes(scenery[::4, ::4])
    content = as_bytes(scenery)
    content = content[:2] + planted.segment(0xE1, planted.thumbnail_exif(preview)) + content[2:]
    treated = cleanse_image(content, "jpeg", detectors=[Blind()], profile=profile)
    assert preview[20:200] in content
    assert preview[20:200] not in treated.content
    assert [f.kind for f in treated.findings if f.where.path == "exif.thumbnail"] == [
        FindingKind.EMBEDDED_IMAGE
    ]


def test_every_marker_beyond_the_allow_list_is_a_residual(planted, scenery, as_bytes, profile):
    content = as_bytes(scenery)
    for marker in (0xE1, 0xE2, 0xE5, 0xEE, 0xEF, 0xFE):
        spoilt = content[:2] + planted.segment(marker, b"anything") + content[2:]
        assert not scan_image(spoilt, "jpeg", detectors=[Blind()], profile=profile, masked=()).clean
    assert not scan_image(content + b"\x00", "jpeg", detectors=[Blind()], profile=profile, masked=()).clean


def test_every_chunk_beyond_the_allow_list_is_a_residual(planted, scenery, as_bytes, profile):
    content = as_bytes(scenery, "png")
    for kind in (b"tEXt", b"eXIf", b"iCCP", b"pHYs", b"tIME", b"prVt"):
        spoilt = content[:-12] + planted.chunk(kind, b"anything\x00") + content[-12:]
        try:
            report = scan_image(spoilt, "png", detectors=[Blind()], profile=profile, masked=())
        except MalformedItemError:
            continue
        assert not report.clean


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_output_is_upright(planted, with_plate, profile, orientation):
    content = planted.jpeg(Image.fromarray(with_plate), orientation=orientation, trailer=b"")
    treated = cleanse_image(content, "jpeg", detectors=[Bright()], profile=profile)
    shape = (96, 128) if orientation < 5 else (128, 96)
    assert pixels(treated.content).shape[:2] == shape
    assert (treated.facts["height"], treated.facts["width"]) == shape
    assert pixels(treated.content).min(axis=2).max() < 200


def test_png_pixels_outside_the_masks_are_lossless(with_plate, as_bytes, profile):
    treated = cleanse_image(as_bytes(with_plate, "png"), "png", detectors=[Bright()], profile=profile)
    assert treated.media_type == "image/png"
    after = pixels(treated.content)
    assert np.array_equal(after[60:], with_plate[60:])
    assert np.unique(after[40:52, 30:70].reshape(-1, 3), axis=0).shape[0] == 1
    assert treated.facts["plates"] == 1


def test_grey_images_stay_grey(with_plate, as_bytes, profile):
    for kind in ("jpeg", "png"):
        content = as_bytes(with_plate[..., 0], kind)
        treated = cleanse_image(content, kind, detectors=[Bright()], profile=profile)
        assert Image.open(io.BytesIO(treated.content)).mode == "L"


def test_no_detector_no_plate_detector_and_a_failing_detector_stop_the_item(
    scenery, as_bytes, detectors, profile
):
    """Law 5: a missing or failing detector stops the item."""
    content = as_bytes(scenery)
    for chosen in ([], [detectors[0]], [Broken()], [Blind(), Broken()]):
        with pytest.raises(ModelError):
            cleanse_image(content, "jpeg", detectors=chosen, profile=profile)
        with pytest.raises(ModelError):
            scan_image(content, "jpeg", detectors=chosen, profile=profile, masked=())


def test_what_the_second_look_finds_is_masked_too(with_plate, as_bytes, profile):
    treated = cleanse_image(as_bytes(with_plate, "png"), "png", detectors=[Shy()], profile=profile)
    assert treated.facts["passes"] == 2
    assert pixels(treated.content).min(axis=2).max() < 200


def test_masking_that_does_not_settle_stops_the_item(scenery, as_bytes, profile):
    with pytest.raises(ResidualError, match="4 passes"):
        cleanse_image(as_bytes(scenery), "jpeg", detectors=[Restless()], profile=profile)


def test_detections_in_the_open_are_residual_and_those_in_masks_are_not(with_plate, as_bytes, profile):
    content = as_bytes(with_plate, "png")
    (plate,) = Bright().detect(with_plate, threshold=0.5)
    elsewhere = replace(plate, where=PixelBox(x0=2, y0=2, x1=20, y1=12))
    report = scan_image(content, "png", detectors=[Bright()], profile=profile, masked=[elsewhere])
    (left,) = report.residual
    assert left.where == plate.where
    assert scan_image(content, "png", detectors=[Bright()], profile=profile, masked=[plate]).clean


def test_treating_twice_gives_the_same_bytes(with_plate, as_bytes, profile):
    content = as_bytes(with_plate)
    once, twice = (cleanse_image(content, "jpeg", detectors=[Bright()], profile=profile) for _ in range(2))
    assert once == twice


def test_faces_of_the_shared_samples_are_covered(samples, detectors, shipped):
    folder = samples / "media" / "faces_dlib"
    content = min(folder.glob("*.jpg")).read_bytes()
    treated = cleanse_image(content, "jpeg", detectors=detectors, profile=shipped)
    assert treated.facts["faces"] >= 1
    assert scan_image(
        treated.content, "jpeg", detectors=detectors, profile=shipped, masked=treated.findings
    ).clean


FIGURE = MaskTreatment(mode="solid", region="figure", enlarge=0.05, threshold=0.3)


def test_signs_are_masked_iff_the_profile_says_so(with_plate, as_bytes, profile):
    content = as_bytes(with_plate, "png")
    left = cleanse_image(content, "png", detectors=[Blind(), Signs()], profile=profile)
    assert np.array_equal(pixels(left.content), with_plate)
    assert left.facts["masked"] == {"face": 0, "plate": 0}
    assert scan_image(
        left.content, "png", detectors=[Blind(), Signs()], profile=profile, masked=left.findings
    ).clean

    masking = replace(profile, limit_sign=FIGURE)
    treated = cleanse_image(content, "png", detectors=[Blind(), Signs()], profile=masking)
    assert treated.facts["masked"]["limit_sign"] >= 1
    assert (pixels(treated.content)[44:48, 45:55] == 128).all()
    (treatment,) = [t for t in treated.treatments if t.of is FindingKind.LIMIT_SIGN]
    assert treatment.parameters["region"] == "figure"
    assert scan_image(
        treated.content, "png", detectors=[Blind(), Signs()], profile=masking, masked=treated.findings
    ).clean


def test_kinds_that_the_profile_masks_need_a_detector(scenery, as_bytes, profile):
    """Law 5: the set of detectors follows from the profile."""
    content = as_bytes(scenery)
    text = TextMaskTreatment(mask=MaskTreatment(mode="mean", enlarge=0.1, threshold=0.5), kinds=("phone",))
    for masking in (replace(profile, limit_sign=FIGURE), replace(profile, text=text)):
        with pytest.raises(ModelError, match="no detector for"):
            cleanse_image(content, "jpeg", detectors=[Blind()], profile=masking)
        with pytest.raises(ModelError, match="no detector for"):
            scan_image(content, "jpeg", detectors=[Blind()], profile=masking, masked=())


def test_a_detector_of_what_nothing_masks_is_refused(scenery, as_bytes, profile):
    class Zones(Blind):
        kinds = frozenset({FindingKind.FACE, FindingKind.PLATE, FindingKind.RESTRICTED_ZONE})

    with pytest.raises(ModelError, match="restricted_zone"):
        cleanse_image(as_bytes(scenery), "jpeg", detectors=[Zones()], profile=profile)


def test_what_was_destroyed_is_a_file_of_its_own(with_plate, as_bytes, profile):
    treated = cleanse_image(as_bytes(with_plate, "png"), "png", detectors=[Bright()], profile=profile)
    destroyed = decode_mask(treated.mask)
    changed = (pixels(treated.content) != with_plate).any(axis=2)
    assert destroyed[changed].all()
    assert destroyed[40:52, 30:70].all()
    assert destroyed.mean() == pytest.approx(treated.facts["masked_share"], abs=1e-6)


@pytest.mark.parametrize(("grey", "light"), [(10, "night"), (45, "dusk"), (140, "day")])
def test_facts_tell_day_from_night(as_bytes, profile, grey, light):
    content = as_bytes(np.full((64, 64, 3), grey, np.uint8), "png")
    treated = cleanse_image(content, "png", detectors=[Blind()], profile=profile)
    assert treated.facts["luminance"] == light
