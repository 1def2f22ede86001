"""Fragments of treated videos taken out: what stays decodes, is byte-identical, and is shown on time."""

import io
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest

from anonymize.errors import MalformedItemError, OutsideReleaseError
from anonymize.finding import FindingKind
from anonymize.media.video.allow_list import forbidden
from anonymize.media.video.cleansing import cleanse_video
from anonymize.media.video.fragment_cut import cut_fragments, fragments_of, kept_times, scan_cut
from anonymize.media.video.plan import MaskPlan
from anonymize.media.video.structure import boxes


def treat(kit, content, profile, **options) -> tuple[MaskPlan, bytes]:
    saved = kit.Saved()
    treated = cleanse_video(
        io.BytesIO(content), detectors=[kit.MarkDetector()], profile=profile, checkpoint=saved, **options
    )
    return treated.masks, b"".join(treated.contents(saved))


@pytest.fixture(scope="module")
def treated(kit, whole_profile) -> bytes:
    """45 frames, 10 a second, in five fragments."""
    return treat(kit, kit.film(45), whole_profile)[1]


@pytest.fixture(scope="module")
def in_hevc(kit, whole_profile) -> bytes:
    videos = replace(whole_profile.videos, codec="hevc")
    return treat(kit, kit.film(45), replace(whole_profile, videos=videos))[1]


def test_fragments_state_the_times_of_all_frames(kit, treated):
    fragments = fragments_of(io.BytesIO(treated))
    assert [len(f.ticks) for f in fragments] == [10, 10, 10, 10, 5]
    times = [Fraction(t, f.scale) for f in fragments for t in f.ticks]
    assert times == kit.frames_of(treated)[1]
    assert fragments[1].times_s == pytest.approx(np.arange(10, 20) / 10)


@pytest.mark.parametrize("kept", [{0}, {4}, {1, 2}, {0, 3}, {2, 4}, {0, 1, 2, 3, 4}])
@pytest.mark.parametrize("codec", ["treated", "in_hevc"])
def test_what_stays_is_the_same_frames_from_zero_on(kit, request, kept, codec):
    treated, asked = request.getfixturevalue(codec), []

    def keep(begin_s: float, end_s: float) -> bool:
        asked.append((begin_s, end_s))
        return int(begin_s) in kept

    after = b"".join(cut_fragments(io.BytesIO(treated), keep))
    assert asked == [(0.0, 0.9), (1.0, 1.9), (2.0, 2.9), (3.0, 3.9), (4.0, 4.4)]
    images, times = kit.frames_of(treated)
    left = [f for f in range(45) if f // 10 in kept]
    new_images, new_times = kit.frames_of(after)
    assert new_times == [times[f] - times[left[0]] for f in left]
    for old, new in zip((images[f] for f in left), new_images, strict=True):
        assert np.array_equal(old, new)
    assert forbidden(io.BytesIO(after)) == ()
    assert scan_cut(io.BytesIO(after), new_times).clean


def test_headers_say_nothing_of_what_was_before(treated):
    after = b"".join(cut_fragments(io.BytesIO(treated), lambda begin, _: 2.0 <= begin < 4.0))
    file = io.BytesIO(after)
    numbers = []
    for moof in (box for box in boxes(file, 0, len(after)) if box.kind == b"moof"):
        for box in boxes(file, moof.body, moof.end):
            if box.kind == b"mfhd":
                file.seek(box.body + 4)
                numbers.append(int.from_bytes(file.read(4)))
    assert numbers == [1, 2]
    again = b"".join(cut_fragments(io.BytesIO(after), lambda *_: True))
    assert again == after
    with av.open(io.BytesIO(after)) as container:
        assert container.streams.video[0].start_time == 0


def test_times_of_kept_fragments_are_known_beforehand(kit, treated):
    fragments = fragments_of(io.BytesIO(treated))
    kept = [fragments[1], fragments[4]]
    after = b"".join(cut_fragments(io.BytesIO(treated), lambda begin, _: begin in {1.0, 4.0}))
    assert kept_times(kept) == kit.frames_of(after)[1]


def test_a_video_with_cut_seconds_is_cut_further(kit, whole_profile):
    masks, content = treat(kit, kit.film(45), whole_profile, cut=[(0.0, 0.55), (2.25, 2.65)])
    fragments = fragments_of(io.BytesIO(content))
    kept = [f for f in fragments if f.times_s[0] >= 2.0 and f.times_s[-1] < 4.0]
    after = b"".join(cut_fragments(io.BytesIO(content), lambda begin, end: begin >= 2.0 and end < 4.0))
    assert scan_cut(io.BytesIO(after), kept_times(kept)).clean
    assert kit.frames_of(after)[1] == [Fraction(f - 20, 10) for f in range(20, 40) if f not in range(23, 27)]
    first = sum(len(f.ticks) for f in fragments[: fragments.index(kept[0])])
    own = masks.only(range(first, first + sum(len(f.ticks) for f in kept)))
    assert own.frames == 16
    assert own.boxes[0] == masks.boxes[first]
    assert sorted(own.boxes) == list(range(16))


def test_kept_sound_moves_with_the_frames(kit, whole_profile):
    profile = replace(whole_profile, videos=replace(whole_profile.videos, audio="keep", segment_s=0.3))
    content = treat(kit, kit.film(9, audio=True), profile)[1]
    after = b"".join(cut_fragments(io.BytesIO(content), lambda begin, _: begin >= 0.25))
    assert scan_cut(io.BytesIO(after), kit.frames_of(after)[1], sound=True).clean

    def heard(file: bytes) -> list[tuple[bytes, Fraction]]:
        with av.open(io.BytesIO(file)) as container:
            return [(bytes(p), p.pts * p.time_base) for p in container.demux(audio=0) if p.size]

    before, now = heard(content), heard(after)
    assert now
    assert now == [(p, t - Fraction(3, 10)) for p, t in before[-len(now) :]]


def test_nothing_left_and_other_files_are_refused(kit, treated):
    with pytest.raises(OutsideReleaseError, match="fragment"):
        cut_fragments(io.BytesIO(treated), lambda *_: False)
    for content in (kit.film(3), treated + (16).to_bytes(4) + b"uuid" + bytes(8), b""):
        with pytest.raises(MalformedItemError):
            cut_fragments(io.BytesIO(content), lambda *_: True)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_treated_video_that_is_cut_short_is_refused(treated, share):
    with pytest.raises(MalformedItemError):
        b"".join(cut_fragments(io.BytesIO(treated[: int(share * len(treated))]), lambda *_: True))


def test_a_wrong_time_or_a_planted_box_is_found(kit, treated):
    after = b"".join(cut_fragments(io.BytesIO(treated), lambda begin, _: begin >= 1.0))
    times = kit.frames_of(after)[1]
    wrong = scan_cut(io.BytesIO(after), [t + Fraction(1, 10) for t in times])
    assert [f.kind for f in wrong.residual] == [FindingKind.TIMESTAMP]
    assert not scan_cut(io.BytesIO(after), times[:-1]).clean
    planted = scan_cut(io.BytesIO(after + (16).to_bytes(4) + b"free" + bytes(8)), times)
    assert [f.where.path for f in planted.residual] == ["box:free"]


def test_memory_is_a_chunk_at_a_time(treated):
    """Every piece is a header or at most a mebibyte of samples, and nothing is read before it is asked for."""

    class Counting(io.BytesIO):
        read_bytes = 0

        def read(self, size=-1):
            content = super().read(size)
            self.read_bytes += len(content)
            return content

    file = Counting(treated)
    pieces = cut_fragments(file, lambda *_: True)
    assert file.read_bytes < len(treated) / 2
    assert max(map(len, pieces)) <= 1 << 20
