"""Which fragments of a video lie within one clip or kept span, and masks cut alike."""

import json

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymize.errors import OutsideReleaseError
from anonymize.formats.track import Track
from anonymize.geo.clips import plan_clips
from anonymize.geo.crs import WGS84
from anonymize.geo.offset_plan import plan_offset
from anonymize.media.video.fragment_cut import Fragment
from anonymize.media.video.structure import Box
from anonymize.profile import shipped_profile
from gateway.videos.clips import fragments_within, masks_within
from simulators import route

TRACKS = shipped_profile("cn-2026").profile.tracks


def drive() -> Track:
    lats, lons = route()
    count = len(lats)
    return Track(
        lat=np.array(lats),
        lon=np.array(lons),
        time_s=1000.0 + np.arange(count),
        elevation_m=np.full(count, np.nan),
        speed_mps=np.full(count, np.nan),
        segment=np.zeros(count, np.int32),
        crs=WGS84,
        dropped=(),
    )


def fragments(begin: int, sizes: list[int], ticks: int = 10) -> tuple[Fragment, ...]:
    """Fragments of frames that are ``ticks`` tenths of a second apart."""
    made, at = [], begin
    for number, size in enumerate(sizes):
        box = Box(kind=b"moof", start=number, body=number, end=number)
        made.append(
            Fragment(moof=box, mdat=box, ticks=range(at, at + size * ticks, ticks), scale=10, decode_times=())
        )
        at += size * ticks
    return tuple(made)


@settings(deadline=None, max_examples=60)
@given(
    key=st.binary(min_size=32, max_size=32),
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=30),
    captured=st.floats(990.0, 1390.0),
    local=st.booleans(),
)
def test_all_frames_lie_in_one_clip_and_no_other_clip_holds_more(key, sizes, captured, local):
    made = fragments(0, sizes)
    planned = plan_clips if local else plan_offset
    plan = planned(drive(), key=key, context=b"recording", profile=TRACKS)
    of = plan.clip_of if local else plan.span_of
    numbers = [of(captured + np.array(f.times_s)).tolist() for f in made]
    whole = [n[0] for n in numbers if len(set(n)) == 1 and n[0] >= 0 for _ in n]
    try:
        kept = fragments_within(made, plan, captured)
    except OutsideReleaseError:
        assert not whole
        return
    (clip,) = set(of(captured + np.concatenate([f.times_s for f in kept])).tolist())
    assert clip >= 0
    assert sum(len(f.ticks) for f in kept) == whole.count(clip) == max(map(whole.count, whole))
    boxes = {str(f): [["face", 0, 0, 9, 9, "detected"]] for f in range(0, sum(sizes), 2)}
    content = json.dumps({"frames": sum(sizes), "size": [9, 9], "boxes": boxes}).encode()
    masks = json.loads(masks_within(made, kept)(content))
    frames = [f for number, size in enumerate(sizes) for f in [number] * size]
    stay = [f for f, number in enumerate(frames) if made[number] in kept]
    assert masks["frames"] == len(stay)
    assert sorted(map(int, masks["boxes"])) == [place for place, f in enumerate(stay) if f % 2 == 0]
