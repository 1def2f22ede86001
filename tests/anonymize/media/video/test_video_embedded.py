"""The shipped detectors on whole videos: real ones, and one with a real face that moves."""

import io
from importlib import resources

import av
import numpy as np
import pytest
from PIL import Image

from anonymize.finding import FindingKind
from anonymize.media.detection import Reach, embedded_detectors
from anonymize.media.masks import coverage, covered_share, masked_kinds, treatment_of
from anonymize.media.video.cleansing import cleanse_video
from anonymize.media.video.detection import look
from anonymize.profile import shipped_profile

# Objects in these small frames are large.
_REACH = Reach(face_px=24, plate_px=24, limit_sign_px=24)


@pytest.fixture(scope="module")
def shipped():
    return shipped_profile("cn-2026").profile


def cleanse(kit, content, profile):
    saved = kit.Saved()
    treated = cleanse_video(
        io.BytesIO(content), detectors=embedded_detectors(_REACH), profile=profile, checkpoint=saved
    )
    return treated, kit.frames_of(b"".join(treated.contents(saved)))[0]


def left_visible(images, treated, profile, kind=FindingKind.FACE):
    """What the first look, which masked, still finds outside the masks, at the residual scan's threshold.

    Faces only: neighbouring masks can look like a large plate to the first look, where there was none.
    """
    thresholds = {kind: profile.images.residual_threshold}
    for number, found in enumerate(look(images, embedded_detectors(_REACH), thresholds)):
        covered = covered_in(treated, number, profile)
        for f in found:
            if covered_share(f, covered, profile=profile.images) < profile.images.residual_coverage:
                yield number, f


def covered_in(treated, number, profile):
    size = (treated.plan.width, treated.plan.height)
    return coverage(treated.plan.findings(number), size=size, profile=profile.images)


def test_a_real_clip_shows_nothing_afterwards(shared_data, kit, shipped):
    with av.open(str(shared_data / "media/video/test_face_video.mp4")) as source:
        originals = [
            f.to_image().resize((480, 360)) for f, _ in zip(source.decode(video=0), range(4), strict=False)
        ]
    content = kit.film(4, size=(480, 360), draw=lambda i, **_: np.asarray(originals[i]))
    before, _ = kit.frames_of(content)
    treated, after = cleanse(kit, content, shipped)
    kinds = masked_kinds(shipped.images)
    thresholds = {kind: treatment_of(kind, shipped.images).threshold for kind in kinds}
    seen = look(before, embedded_detectors(_REACH), thresholds)
    assert sum(f.kind is FindingKind.FACE for found in seen for f in found) >= 4
    for number, found in enumerate(seen):
        covered = covered_in(treated, number, shipped)
        assert all(covered_share(f, covered, profile=shipped.images) == 1 for f in found)
    assert list(left_visible(after, treated, shipped)) == []


def test_a_face_is_masked_also_where_the_detector_is_blind_to_it(kit, shipped):
    path = resources.files("ultralytics") / "assets" / "zidane.jpg"
    with Image.open(str(path)) as photograph:
        face = np.asarray(photograph.convert("RGB").crop((640, 0, 1280, 720)).resize((320, 360)))
    blurred = np.asarray(Image.fromarray(face).resize((5, 6)).resize((320, 360), Image.Resampling.BICUBIC))

    def draw(index, size):
        image = np.full((size[1], size[0], 3), 90, np.uint8)
        left = 4 * index
        image[:, left : left + 320] = blurred if index == 3 else face
        return image

    content = kit.film(7, size=(480, 360), draw=draw)
    before, _ = kit.frames_of(content)
    seen = look(before, embedded_detectors(_REACH), {FindingKind.FACE: shipped.images.face.threshold})
    boxes = {n: max(found, key=lambda f: f.confidence).where for n, found in enumerate(seen) if found}
    assert set(boxes) == set(range(7)) - {3}
    treated, after = cleanse(kit, content, shipped)
    for number, box in boxes.items():
        covered = covered_in(treated, number, shipped)
        assert covered[box.y0 : box.y1, box.x0 : box.x1].all()
    covered = covered_in(treated, 3, shipped)
    middle = [(getattr(boxes[2], n) + getattr(boxes[4], n)) // 2 for n in ("x0", "y0", "x1", "y1")]
    assert covered[middle[1] : middle[3], middle[0] : middle[2]].all()
    assert list(left_visible(after, treated, shipped)) == []
