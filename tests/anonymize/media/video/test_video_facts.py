import io
import struct
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from anonymize.errors import LimitExceededError, MalformedItemError
from anonymize.media.video.cleansing import cleanse_video
from anonymize.media.video.facts import inspect_video
from anonymize.media.video.frames import read_frames
from anonymize.media.video.timeline import read_timeline

_UPRIGHT = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)


def turned(content: bytes, a: int, b: int, c: int, d: int) -> bytes:
    """The MP4 with another display matrix in its track header."""
    at = content.index(_UPRIGHT, content.index(b"tkhd"))
    return content[:at] + struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30) + content[at + len(_UPRIGHT) :]


def test_facts(kit, whole_profile):
    content = kit.film(
        12, audio=True, metadata={"location": "+39.9042+116.4074/", "creation_time": "2024-05-06T07:08:09Z"}
    )
    facts = inspect_video(io.BytesIO(content), profile=whole_profile)
    assert (facts.width, facts.height, facts.frames, facts.codec, facts.container) == (
        160,
        120,
        12,
        "h264",
        "mov",
    )
    assert (facts.latitude, facts.longitude) == (39.9042, 116.4074)
    assert facts.captured_at.isoformat() == "2024-05-06T07:08:09+00:00"
    assert facts.audio_streams == 1
    assert {"container:location", "frame:sei_unregistered"} <= set(facts.metadata_fields)
    assert facts.duration_s == pytest.approx(1.2, abs=0.1)
    assert not facts.variable_frame_rate


@pytest.mark.parametrize(
    ("matrix", "turns"),
    [((0, 65536, -65536, 0), -1), ((-65536, 0, 0, -65536), 2), ((0, -65536, 65536, 0), 1)],
)
def test_rotation_makes_frames_upright(kit, whole_profile, matrix, turns):
    """The matrix of a portrait telephone, (0 1; -1 0), is shown turned clockwise (ISO/IEC 14496-12, 6.2.2)."""
    content = kit.film(3)
    source = io.BytesIO(turned(content, *matrix))
    facts = inspect_video(source, profile=whole_profile)
    assert (facts.width, facts.height) == ((120, 160) if turns % 2 else (160, 120))
    frames = list(read_frames(source, read_timeline(source, profile=whole_profile), profile=whole_profile))
    expected = np.rot90(kit.frames_of(content)[0][1], turns)
    assert np.abs(frames[1].rgb().astype(int) - expected).mean() < 3


def cases(kit):
    mp4 = kit.film(12)
    mkv, middle = kit.film(12, container="matroska"), mp4.index(b"mdat") + 400
    return {
        "no moov": (mp4[: mp4.index(b"moov") - 4], "moov|cut short|opened"),
        "mdat cut in the middle": (
            kit.film(12, container_options={"movflags": "frag_keyframe+empty_moov"})[:-900], "cut short"
        ),
        "mkv cut": (mkv[:-700], "cut short"),
        "empty": (b"", "empty"),
        "no video": (b"RIFF" + bytes(400), "opened"),
        "two videos": (kit.film(3, videos=2), "one video stream"),
        "10 bit": (kit.film(3, pixels="yuv420p10le"), "yuv420p10le"),
        "PQ": (kit.film(3, transfer=16), "PQ"),
        "HLG": (kit.film(3, transfer=18), "HLG"),
        "interlaced": (kit.film(3, options={"x264-params": "tff=1"}), "interlaced"),
        "turned by 30 degrees": (turned(mp4, 56756, 32768, -32768, 56756), "multiple of 90"),
        "mirrored": (turned(mp4, -65536, 0, 0, 65536), "mirror"),
        "impossible position": (kit.film(3, metadata={"location": "+99.0000+116.4074/"}), "impossible"),
        "other codec": (kit.film(3, codec="mpeg4"), "codec"),
        "frames damaged": (
            mp4[:middle] + bytes(b ^ 0xFF for b in mp4[middle : middle + 300]) + mp4[middle + 300 :],
            "decoded|damaged",
        ),
    }  # fmt: skip


NAMES = (
    "no moov", "mdat cut in the middle", "mkv cut", "empty", "no video", "two videos", "10 bit", "PQ", "HLG",
    "interlaced", "turned by 30 degrees", "mirrored", "impossible position", "other codec", "frames damaged",
)  # fmt: skip


@pytest.fixture(scope="module")
def bad(kit):
    return cases(kit)


@pytest.mark.parametrize("name", NAMES)
def test_bad_input_stops_the_item(kit, whole_profile, bad, name):
    content, message = bad[name]
    saved = kit.Saved()
    with pytest.raises(MalformedItemError, match=message):
        cleanse_video(
            io.BytesIO(content), detectors=[kit.MarkDetector()], profile=whole_profile, checkpoint=saved
        )


def test_limits(kit, whole_profile):
    content = kit.film(12)
    few = replace(whole_profile, videos=replace(whole_profile.videos, max_frames=11))
    with pytest.raises(LimitExceededError, match="too many frames"):
        inspect_video(io.BytesIO(content), profile=few)
    small = replace(whole_profile, images=replace(whole_profile.images, max_side_px=150))
    with pytest.raises(LimitExceededError, match="160x120"):
        inspect_video(io.BytesIO(content), profile=small)


def test_reading_may_begin_at_any_frame(kit, whole_profile):
    source = io.BytesIO(kit.film(30, options={"g": "8", "bf": "3"}, base=Fraction(1, 600)))
    timeline = read_timeline(source, profile=whole_profile)
    whole = list(read_frames(source, timeline, profile=whole_profile))
    assert [f.index for f in whole] == list(range(30))
    for start in (1, 7, 8, 9, 23, 29):
        part = list(read_frames(source, timeline, profile=whole_profile, start=start, end=min(30, start + 2)))
        assert [f.index for f in part] == list(range(start, min(30, start + 2)))
        assert all((a.luma == b.luma).all() for a, b in zip(part, whole[start:], strict=False))


@pytest.mark.parametrize(
    ("name", "frames", "position"),
    [
        ("video/MOT20-08-raw_shorter.h264", 127, None),
        ("video/sample-5s_h265.mp4", 146, None),
        ("video/test_face_video.mp4", 14, None),
        ("video_gnss/hero5-trimmed.mp4", 48, (33.1265, -117.3274)),
        ("video_gnss/max-heromode.mp4", 315, (33.1268, -117.3273)),
    ],
)
def test_real_files(samples, whole_profile, name, frames, position):
    with (samples / name).open("rb") as source:
        facts = inspect_video(source, profile=whole_profile)
        timeline = read_timeline(source, profile=whole_profile)
        assert [f.index for f in read_frames(source, timeline, profile=whole_profile)] == list(range(frames))
    assert facts.frames == frames
    assert position in (None, (facts.latitude, facts.longitude))
