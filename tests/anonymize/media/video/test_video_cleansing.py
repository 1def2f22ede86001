import io
import json
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest

from anonymize.errors import ModelError, ResidualError
from anonymize.finding import FindingKind
from anonymize.media.video.allow_list import forbidden
from anonymize.media.video.cleansing import cleanse_video
from anonymize.media.video.encoding import encode_segments
from anonymize.media.video.plan import MaskPlan
from anonymize.media.video.residual import scan_video


def cleanse(kit, content, profile, *, detector=None, saved=None, **options):
    saved = kit.Saved() if saved is None else saved
    treated = cleanse_video(
        io.BytesIO(content),
        detectors=[detector or kit.MarkDetector()],
        profile=profile,
        checkpoint=saved,
        **options,
    )
    return treated, b"".join(treated.contents(saved))


def marked(kit, image) -> int:
    """Pixels that are still near a mark's colour."""
    return sum(int((np.abs(image.astype(int) - c).max(axis=2) < 100).sum()) for c in kit.MARK.values())


def test_every_frame_is_masked_and_the_rest_keeps_its_colours(kit, whole_profile):
    content = kit.film()
    before, times = kit.frames_of(content)
    treated, after = cleanse(kit, content, whole_profile)
    images, new_times = kit.frames_of(after)
    assert new_times == times
    assert [marked(kit, i) for i in before].count(0) == 0
    assert [marked(kit, i) for i in images] == [0] * 30
    assert treated.facts["masked_frames"] == 30
    assert treated.facts["objects"]["face"] >= 1
    assert treated.scan.clean
    clear = np.s_[:30, 20:]
    errors = [(a[clear].astype(float) - b[clear]) ** 2 for a, b in zip(before, images, strict=True)]
    assert 10 * np.log10(255**2 / np.mean(errors)) > 38


@pytest.mark.parametrize("pixels", ["yuvj420p", "yuvj422p", "yuvj444p"])
def test_full_range_stays_full_range(kit, whole_profile, pixels):
    content = kit.film(5, codec="mjpeg", pixels=pixels, container="mov", base=Fraction(1, 10))
    before, _ = kit.frames_of(content)
    _, after = cleanse(kit, content, whole_profile)
    images, _ = kit.frames_of(after)
    clear = np.s_[:30, 20:]
    assert abs(before[3][clear].astype(float) - images[3][clear]).mean() < 2
    with av.open(io.BytesIO(after)) as container:
        assert container.streams.video[0].codec_context.color_range == 2


def test_an_object_missed_between_sightings_and_at_its_ends_is_masked(kit, whole_profile):
    blind = [0, 1, 2, *range(11, 17), 28, 29]
    _, after = cleanse(kit, kit.film(), whole_profile, detector=kit.MarkDetector(blind, residual_sees=False))
    assert [marked(kit, i) for i in kit.frames_of(after)[0]] == [0] * 30


def test_what_the_residual_look_finds_is_masked_in_a_further_pass(kit, whole_profile):
    videos = replace(whole_profile.videos, max_gap_s=0.1, margin_s=0.0)
    profile = replace(whole_profile, videos=videos)
    content = kit.film()
    leaking = kit.MarkDetector([12, 13, 14], residual_sees=False)
    assert any(marked(kit, i) for i in kit.frames_of(cleanse(kit, content, profile, detector=leaking)[1])[0])
    treated, after = cleanse(kit, content, profile, detector=kit.MarkDetector([12, 13, 14]))
    assert [marked(kit, i) for i in kit.frames_of(after)[0]] == [0] * 30
    assert treated.facts["passes"] == 2
    assert treated.facts["boxes"]["residual"] >= 3


def test_what_cannot_be_masked_in_the_last_pass_stops_the_item(kit, whole_profile):
    profile = replace(whole_profile, images=replace(whole_profile.images, max_passes=1))
    profile = replace(profile, videos=replace(profile.videos, max_gap_s=0.1, margin_s=0.0))
    with pytest.raises(ResidualError, match="visible"):
        cleanse(kit, kit.film(), profile, detector=kit.MarkDetector([12, 13, 14]))


def test_variable_frame_rate_keeps_every_time(kit, whole_profile):
    times = [7, 40, 73, 140, 141, 500, 533, 1900, 1933, 2500, 2501, 4000]
    treated, after = cleanse(kit, kit.film(12, times=times), whole_profile)
    assert kit.frames_of(after)[1] == [Fraction(t - 7, 1000) for t in times]
    assert treated.facts["variable_frame_rate"]


@pytest.mark.parametrize(
    ("codec", "container"),
    [("libx264", "mp4"), ("libx264", "matroska"), ("libx264", "h264"), ("libx265", "mp4"), ("libx265", "hevc"),
     ("libsvtav1", "mp4")],
)  # fmt: skip
def test_codecs_and_containers(kit, whole_profile, codec, container):
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    treated, after = cleanse(
        kit, kit.film(12, codec=codec, container=container, options=options), whole_profile
    )
    images, _ = kit.frames_of(after)
    assert [marked(kit, i) for i in images] == [0] * 12
    assert treated.facts["frames"] == 12


def test_hevc_output_is_clean_too(kit, whole_profile):
    profile = replace(whole_profile, videos=replace(whole_profile.videos, codec="hevc"))
    _, after = cleanse(kit, kit.film(15), profile)
    assert [marked(kit, i) for i in kit.frames_of(after)[0]] == [0] * 15
    assert forbidden(io.BytesIO(after)) == ()


def test_odd_sizes_keep_every_pixel_and_grow_by_masked_ones(kit, whole_profile):
    def draw(index, size):
        image = kit.scene(index, size=size)
        image[40:60, -14:] = kit.MARK[FindingKind.FACE]
        return image

    content = kit.film(5, codec="mjpeg", pixels="yuvj444p", container="mov", size=(161, 121), draw=draw,
                       base=Fraction(1, 10))  # fmt: skip
    treated, after = cleanse(kit, content, whole_profile)
    images, _ = kit.frames_of(after)
    assert images[0].shape == (122, 162, 3)
    assert [marked(kit, i) for i in images] == [0] * 5
    assert (treated.facts["width"], treated.facts["height"], treated.facts["padded"]) == (161, 121, True)


@pytest.mark.parametrize("done", [0, 1, 2])
def test_work_goes_on_at_the_last_whole_segment(kit, whole_profile, done):
    content = kit.film()
    _, expected = cleanse(kit, content, whole_profile)
    saved, first = kit.Saved(), kit.MarkDetector()

    def stop(progress):
        if progress.stage == "mask" and progress.done == done + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cleanse(kit, content, whole_profile, detector=first, saved=saved, progress=stop)
    second = kit.MarkDetector()
    _, after = cleanse(kit, content, whole_profile, detector=second, saved=saved)
    assert after == expected
    looks = [look for look, _ in second.looks]
    assert looks.count("masking") == 0
    assert looks.count("residual") == 30 - 10 * (done + 1)


def test_progress_of_another_profile_is_forgotten(kit, whole_profile):
    saved, content = kit.Saved(), kit.film(12)
    cleanse(kit, content, whole_profile, saved=saved)
    again = kit.MarkDetector()
    other = replace(whole_profile, videos=replace(whole_profile.videos, margin_s=0.25))
    cleanse(kit, content, other, detector=again, saved=saved)
    assert [look for look, _ in again.looks].count("masking") == 12


def test_nothing_but_frames_is_left(kit, whole_profile):
    content = kit.film(
        12, audio=True,
        metadata={"title": "CANARY", "location": "+39.9042+116.4074/", "creation_time": "2024-05-06"},
        container_options={"movflags": "use_metadata_tags"},
    )  # fmt: skip
    assert forbidden(io.BytesIO(kit.film(3, container_options={"movflags": "frag_keyframe+empty_moov"})))
    treated, after = cleanse(kit, content, whole_profile)
    assert b"CANARY" in content
    assert b"CANARY" not in after
    assert b"x264" not in after
    assert b"Lav" not in after
    assert forbidden(io.BytesIO(after)) == ()
    with av.open(io.BytesIO(after)) as container:
        assert [s.type for s in container.streams] == ["video"]
    kinds = {f.kind for f in treated.findings}
    assert {FindingKind.AUDIO, FindingKind.METADATA} <= kinds


def test_a_treated_video_with_something_planted_is_not_clean(kit, whole_profile):
    treated, after = cleanse(kit, kit.film(12), whole_profile)
    scan = {"detectors": [kit.MarkDetector()], "profile": whole_profile}
    assert scan_video(io.BytesIO(after), treated.plan, treated.timeline, **scan).clean
    planted = after + (32).to_bytes(4) + b"uuid" + b"CANARY" * 4
    report = scan_video(io.BytesIO(planted), treated.plan, treated.timeline, **scan)
    assert [f.where.path for f in report.residual] == ["box:uuid"]
    empty = replace(treated.plan, boxes={})
    unmasked = b"".join(
        s.content
        for s in encode_segments(io.BytesIO(kit.film(12)), empty, treated.timeline, profile=whole_profile)
    )
    assert not scan_video(io.BytesIO(unmasked), empty, treated.timeline, **scan).clean
    other = replace(treated.timeline, ticks=[t + (t > 500) for t in treated.timeline.ticks])
    report = scan_video(io.BytesIO(after), treated.plan, other, **scan)
    assert [f.kind for f in report.residual] == [FindingKind.TIMESTAMP]


def test_plans_survive_json(kit, whole_profile):
    treated, _ = cleanse(kit, kit.film(12), whole_profile)
    again = MaskPlan.from_dict(json.loads(json.dumps(treated.plan.as_dict())))
    assert again.boxes == treated.plan.boxes
    assert again.digest() == treated.plan.digest() == treated.facts["plan"]


def test_bit_rate_is_bounded(kit, whole_profile):
    def noise(index, size):
        return np.random.default_rng(index).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)

    profile = replace(whole_profile, videos=replace(whole_profile.videos, max_bitrate_kbps=200))
    content = kit.film(20, draw=noise)
    _, free = cleanse(kit, content, whole_profile)
    _, bounded = cleanse(kit, content, profile)
    # Two segments of one second, each of which may begin with a full buffer.
    assert len(bounded) < 2 * 2 * 200_000 / 8 < len(free)


def test_detectors_must_cover_what_the_profile_masks(kit, whole_profile):
    class FacesOnly(kit.MarkDetector):
        kinds = frozenset({FindingKind.FACE})

    with pytest.raises(ModelError, match="plate"):
        cleanse(kit, kit.film(3), whole_profile, detector=FacesOnly())
