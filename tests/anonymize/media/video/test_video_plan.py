from dataclasses import replace
from fractions import Fraction

import pytest

from anonymize.errors import MalformedItemError
from anonymize.finding import Finding, FindingKind, FrameBox, PixelBox
from anonymize.media.video.assumed import Origin
from anonymize.media.video.detection import SegmentFindings
from anonymize.media.video.plan import extend_plan, plan_masks
from anonymize.media.video.timeline import Timeline


def seen(frame, x, y=60, side=20, kind=FindingKind.FACE, confidence=0.5):
    box = PixelBox(x0=x, y0=y, x1=x + side, y1=y + side)
    return Finding(kind=kind, where=FrameBox(frame=frame, box=box), confidence=confidence, detector="d@0")


def timeline(frames=60, rate=10):
    return Timeline(time_base=Fraction(1, rate), ticks=range(frames), last_ticks=1, starts=(0,), raw=False)


def plan(profile, findings, line, *, gap=1.0, margin=0.3):
    profile = replace(profile, videos=replace(profile.videos, max_gap_s=gap, margin_s=margin))
    segment = SegmentFindings(index=0, first_frame=0, frames=line.frames, width=640, height=240,
                              findings=tuple(findings))  # fmt: skip
    assert SegmentFindings.from_dict(segment.as_dict()) == segment
    return plan_masks([segment], line, profile=profile)


def covers(plan, frame, box):
    return any(
        b.box.x0 <= box.x0 and b.box.y0 <= box.y0 and b.box.x1 >= box.x1 and b.box.y1 >= box.y1
        for b in plan.boxes.get(frame, ())
    )


@pytest.mark.parametrize("speed", [0, 3, -3, 8])
def test_seen_in_frames_10_and_20_is_masked_in_11_to_19(whole_profile, speed):
    at = lambda f: seen(f, 200 + speed * (f - 10))  # noqa: E731
    made = plan(
        whole_profile, [at(10), at(20)] if abs(speed) < 3 else [at(9), at(10), at(20), at(21)], timeline()
    )
    for frame in range(10, 21):
        assert covers(made, frame, at(frame).where.box)
    assert {b.origin for b in made.boxes[15]} == {Origin.FILLED}
    assert len(made.tracks) == 1


def test_margin_before_the_first_and_after_the_last_sighting(whole_profile):
    at = lambda f: seen(f, 200 + 6 * (f - 10))  # noqa: E731
    made = plan(whole_profile, [at(f) for f in range(10, 16)], timeline())
    assert sorted(made.boxes) == list(range(7, 19))
    for frame in range(7, 19):
        assert covers(made, frame, at(frame).where.box)


def test_a_gap_longer_than_the_profile_allows_is_not_filled(whole_profile):
    made = plan(whole_profile, [seen(10, 200), seen(30, 200)], timeline())
    assert sorted(made.boxes) == [*range(7, 14), *range(27, 34)]
    assert len(made.tracks) == 2


def test_gaps_are_measured_in_seconds(whole_profile):
    line = replace(timeline(), ticks=[*range(12), *range(40, 88)])
    made = plan(whole_profile, [seen(11, 200), seen(12, 200)], line, margin=0.0)
    assert len(made.tracks) == 2
    assert sorted(made.boxes) == [11, 12]


def test_two_objects_that_cross_are_both_masked_throughout(whole_profile):
    left, right = (lambda f: seen(f, 100 + 5 * f)), (lambda f: seen(f, 340 - 5 * f, y=66))
    findings = [g(f) for f in range(48) for g in (left, right) if f not in (20, 21, 30, 31)]
    made = plan(whole_profile, findings, timeline())
    for frame in range(48):
        assert covers(made, frame, left(frame).where.box)
        assert covers(made, frame, right(frame).where.box)


def test_kinds_are_not_mixed(whole_profile):
    made = plan(whole_profile, [seen(10, 200), seen(14, 200, kind=FindingKind.PLATE)], timeline())
    assert len(made.tracks) == 2
    assert made.count(Origin.FILLED) == 0


def test_extending_never_drops_a_box(whole_profile):
    made = plan(whole_profile, [seen(f, 200) for f in (10, 11, 20)], timeline())
    extended, segments = extend_plan(made, [seen(15, 210), seen(40, 20)], timeline(), profile=whole_profile)
    assert segments == {0}
    for frame, boxes in made.boxes.items():
        assert {(b.kind, b.box) for b in boxes} <= {(b.kind, b.box) for b in extended.boxes[frame]}
    assert covers(extended, 15, seen(15, 210).where.box)
    assert covers(extended, 41, seen(41, 20).where.box)


def test_findings_must_be_of_all_segments(whole_profile):
    line = replace(timeline(), starts=(0, 30))
    half = SegmentFindings(index=0, first_frame=0, frames=30, width=640, height=240, findings=())
    with pytest.raises(MalformedItemError, match="all segments"):
        plan_masks([half], line, profile=whole_profile)


def test_a_faint_single_sighting_gets_a_margin_of_one_frame(whole_profile):
    faint, clear = (seen(20, 200, confidence=c) for c in (0.39, 0.4))
    made = plan(whole_profile, [faint], timeline())
    assert sorted(made.boxes) == [19, 20, 21]
    assert covers(made, 19, faint.where.box)
    assert sorted(plan(whole_profile, [clear], timeline()).boxes) == list(range(17, 24))
    assert sorted(plan(whole_profile, [faint], timeline(), margin=0.0).boxes) == [20]


def test_faint_sightings_that_make_a_track_keep_gaps_and_margin(whole_profile):
    made = plan(whole_profile, [seen(f, 200, confidence=0.2) for f in (10, 14)], timeline())
    assert sorted(made.boxes) == list(range(7, 18))


def test_one_leap_does_not_throw_the_margin_across_the_frame(whole_profile):
    leap = plan(whole_profile, [seen(10, 200), seen(11, 216)], timeline())
    assert max(b.box.x1 for b in leap.boxes[14]) < 260
    steady = [*(seen(f, 200) for f in range(10, 15)), seen(15, 216)]
    assert max(b.box.x1 for b in plan(whole_profile, steady, timeline()).boxes[18]) < 260
