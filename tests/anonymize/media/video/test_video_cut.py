"""Spans of time that do not leave: the frames are gone, all others are exactly where they were."""

import io
import json
import math
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymize.errors import MalformedItemError
from anonymize.finding import FindingKind, FrameBox, IndexSpan, TreatmentKind
from anonymize.media.detection import Look
from anonymize.media.video.allow_list import forbidden
from anonymize.media.video.cleansing import cleanse_video
from anonymize.media.video.residual import scan_video
from anonymize.media.video.timeline import Timeline, read_timeline


def cleanse(kit, content, profile, *, cut, detector=None, saved=None, **options):
    saved = kit.Saved() if saved is None else saved
    treated = cleanse_video(
        io.BytesIO(content),
        detectors=[detector or kit.MarkDetector()],
        profile=profile,
        checkpoint=saved,
        cut=cut,
        **options,
    )
    return treated, b"".join(treated.contents(saved))


def numbers(kit, content) -> list[int]:
    """The numbers that the scenes show in their corners."""
    return [round(float(image[2:6, 2:6].mean()) / 2) for image in kit.frames_of(content)[0]]


def test_frames_in_a_span_are_gone_and_the_others_keep_their_times(kit, whole_profile):
    treated, after = cleanse(kit, kit.film(), whole_profile, cut=[(0.75, 1.35)])
    left = [*range(8), *range(14, 30)]
    assert kit.frames_of(after)[1] == [Fraction(f, 10) for f in left]
    assert numbers(kit, after) == pytest.approx(left, abs=2)
    assert forbidden(io.BytesIO(after)) == ()
    assert treated.scan.clean
    assert treated.scan.facts["frames"] == len(left)
    assert treated.facts["cut_frames"] == 6


def test_both_ends_of_a_span_belong_to_it(kit, whole_profile):
    _, after = cleanse(kit, kit.film(), whole_profile, cut=[(0.5, 1.5)])
    # The doubles 0.5 and 1.5 are exact, so the frames at these times are cut.
    assert kit.frames_of(after)[1] == [Fraction(f, 10) for f in (*range(5), *range(16, 30))]


def test_a_cut_beginning_leaves_a_gap_before_the_first_frame(kit, whole_profile):
    treated, after = cleanse(kit, kit.film(), whole_profile, cut=[(-math.inf, 1.25), (2.75, math.inf)])
    assert kit.frames_of(after)[1] == [Fraction(f, 10) for f in range(13, 28)]
    scan = {"detectors": [kit.MarkDetector()], "profile": whole_profile}
    assert scan_video(io.BytesIO(after), treated.plan, treated.timeline, **scan).clean
    uncut = replace(treated.timeline, cut=frozenset())
    report = scan_video(io.BytesIO(after), treated.plan, uncut, **scan)
    assert [f.kind for f in report.residual] == [FindingKind.TIMESTAMP]


def test_the_evidence_counts_cut_frames_and_states_no_place(kit, whole_profile):
    treated, _ = cleanse(kit, kit.film(), whole_profile, cut=[(0.75, 1.35), (2.0, 2.2), (2.2, 2.45)])
    zones = [f for f in treated.findings if f.kind is FindingKind.RESTRICTED_ZONE]
    assert [f.where for f in zones] == [IndexSpan(start=8, end=14), IndexSpan(start=20, end=25)]
    (done,) = (t for t in treated.treatments if t.of is FindingKind.RESTRICTED_ZONE)
    assert (done.kind, done.count, dict(done.parameters)) == (TreatmentKind.CUT, 11, {})


def test_masks_are_numbered_as_frames_leave(kit, whole_profile):
    treated, after = cleanse(kit, kit.film(), whole_profile, cut=[(0.0, 0.95)])
    masks = treated.masks.as_dict()
    assert masks["frames"] == len(kit.frames_of(after)[0]) == 20
    assert sorted(map(int, masks["boxes"])) == list(range(20))
    assert masks["boxes"]["0"] == treated.plan.as_dict()["boxes"]["10"]
    assert treated.masks.digest() == treated.facts["plan"]
    places = [f.where for f in treated.findings if isinstance(f.where, FrameBox)]
    assert places
    assert {p.frame for p in places} == {0}
    assert json.dumps(masks)


def test_an_object_that_only_cut_frames_show_is_not_counted(kit, whole_profile):
    def draw(index, size):
        image = kit.scene(200, size=size)
        image[:8, :8] = 2 * index
        image[30:120, :] = 100
        if index >= 20:
            image[40:64, 40:70] = kit.MARK[FindingKind.FACE]
        return image

    content = kit.film(draw=draw)
    whole, _ = cleanse(kit, content, whole_profile, cut=[])
    assert whole.facts["objects"]["face"] == 1
    treated, after = cleanse(kit, content, whole_profile, cut=[(1.95, math.inf)])
    assert treated.facts["objects"]["face"] == 0
    # The margin before its first sighting was planned on frames that do not leave.
    assert treated.facts["masked_frames"] > 0
    assert len(kit.frames_of(after)[0]) == 20


def test_tracks_run_on_through_cut_frames(kit, whole_profile):
    """The masking look misses the first frames after the cut; what was seen in cut frames bridges them."""
    blind = kit.MarkDetector(range(15, 20), residual_sees=False)
    treated, after = cleanse(kit, kit.film(), whole_profile, cut=[(1.0, 1.45)], detector=blind)
    images = kit.frames_of(after)[0]
    assert len(images) == 25
    for image in images:
        for colour in kit.MARK.values():
            assert not (np.abs(image.astype(int) - colour).max(axis=2) < 100).any()
    assert treated.facts["masked_frames"] == 25


def test_a_video_that_is_cut_whole_is_dropped_without_a_look(kit, whole_profile):
    detector, saved = kit.MarkDetector(), kit.Saved()
    treated, after = cleanse(
        kit, kit.film(), whole_profile, cut=[(-math.inf, math.inf)], detector=detector, saved=saved
    )
    assert treated.dropped
    assert after == b""
    assert not detector.looks
    assert not saved
    assert [f.where for f in treated.findings] == [IndexSpan(start=0, end=30)]
    assert [t.count for t in treated.treatments] == [30]


def test_work_goes_on_and_other_spans_begin_anew(kit, whole_profile):
    content, cut = kit.film(), [(0.75, 1.35)]
    expected = cleanse(kit, content, whole_profile, cut=cut)[1]
    saved = kit.Saved()

    def stop(progress):
        if progress.stage == "mask" and progress.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cleanse(kit, content, whole_profile, cut=cut, saved=saved, progress=stop)
    again = kit.MarkDetector()
    assert cleanse(kit, content, whole_profile, cut=cut, saved=saved, detector=again)[1] == expected
    assert [look for look, _ in again.looks].count(Look.MASKING) == 0
    other = kit.MarkDetector()
    cleanse(kit, content, whole_profile, cut=[(0.75, 1.25)], saved=saved, detector=other)
    assert [look for look, _ in other.looks].count(Look.MASKING) == 30


def test_variable_frame_rates_bare_streams_and_hevc_are_cut_alike(kit, whole_profile):
    times = [7, 40, 73, 140, 141, 500, 533, 1900, 1933, 2500, 2501, 4000]
    _, after = cleanse(kit, kit.film(12, times=times), whole_profile, cut=[(0.1325, 1.8925)])
    assert kit.frames_of(after)[1] == [Fraction(t - 7, 1000) for t in times if not 140 <= t <= 1899]
    profile = replace(whole_profile, videos=replace(whole_profile.videos, codec="hevc"))
    _, after = cleanse(kit, kit.film(30, container="h264"), profile, cut=[(0.5, 0.6)])
    assert len(kit.frames_of(after)[0]) < 30


def test_kept_sound_of_cut_segments_is_gone(kit, whole_profile):
    profile = replace(whole_profile, videos=replace(whole_profile.videos, audio="keep"))
    treated, after = cleanse(kit, kit.film(10, audio=True), profile, cut=[(0.35, 0.75)])
    assert treated.scan.clean
    assert len(kit.frames_of(after)[0]) == 6
    with av.open(io.BytesIO(after)) as container:
        heard = [float(p.pts * p.time_base) for p in container.demux(audio=0) if p.size]
    assert heard
    assert not [t for t in heard if 0.4 <= t < 0.8]


@pytest.mark.parametrize("span", [(1.0, 0.5), (math.nan, 1.0), (0.0, math.nan)])
def test_impossible_spans_are_refused(kit, whole_profile, span):
    with pytest.raises(MalformedItemError, match="span"):
        cleanse(kit, kit.film(3), whole_profile, cut=[span])


ENDS = st.one_of(
    st.floats(-2.0, 6.0), st.integers(-10, 60).map(lambda n: n / 10), st.sampled_from([-math.inf, math.inf])
)


@settings(deadline=None, max_examples=200)
@given(
    steps=st.lists(st.integers(1, 400), min_size=1, max_size=40),
    spans=st.lists(st.tuples(ENDS, ENDS).map(sorted), max_size=5),
)
def test_exactly_the_frames_in_the_spans_are_cut(steps, spans):
    ticks = np.cumsum([3, *steps]).tolist()
    plain = Timeline(time_base=Fraction(1, 1000), ticks=ticks, last_ticks=1, starts=(0,), raw=False)
    cut = plain.without(spans)
    times = [Fraction(t - ticks[0], 1000) for t in ticks]
    expected = [i for i, t in enumerate(times) if not any(a <= t <= b for a, b in spans)]
    assert list(cut.kept_frames) == expected
    assert list(cut.starts) == sorted(set(cut.starts))
    assert [f for i in range(cut.segments) for f in cut.segment(i)] == list(range(len(ticks)))


def test_frames_of_a_real_camera_are_cut_where_its_times_say(samples, kit, whole_profile):
    content = (samples / "video_gnss" / "hero5-trimmed.mp4").read_bytes()
    before = read_timeline(io.BytesIO(content), profile=whole_profile)
    _, after = cleanse(kit, content, whole_profile, cut=[(0.5, 1.0)])
    times = [(t - before.ticks[0]) * before.time_base for t in before.ticks]
    assert kit.frames_of(after)[1] == [t for t in times if not Fraction(1, 2) <= t <= 1]
