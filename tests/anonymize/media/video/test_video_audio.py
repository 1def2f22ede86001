import io
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest

from anonymize.errors import MalformedItemError
from anonymize.media.video.allow_list import forbidden
from anonymize.media.video.cleansing import cleanse_video


@pytest.fixture(scope="module")
def keeping(whole_profile):
    return replace(whole_profile, videos=replace(whole_profile.videos, audio="keep"))


def cleanse(kit, content, profile, **options):
    saved = options.pop("saved", None)
    saved = kit.Saved() if saved is None else saved
    treated = cleanse_video(
        io.BytesIO(content), detectors=[kit.MarkDetector()], profile=profile, checkpoint=saved, **options
    )
    return treated, b"".join(treated.contents(saved))


def with_sound(
    kit, codec="aac", *, container="mp4", rate=48000, begin=Fraction(0), seconds=3, frames=30
) -> bytes:
    """Scenes with a rising tone that begins at a time of its own."""
    out = io.BytesIO()
    with (
        av.open(io.BytesIO(kit.film(frames)), "r") as pictures,
        av.open(out, "w", format=container) as muxer,
    ):
        video = muxer.add_stream_from_template(pictures.streams.video[0])
        sound = muxer.add_stream(codec, rate=rate, layout="mono")
        sound.codec_context.format = {"libopus": "flt", "pcm_s16le": "s16"}.get(codec, "fltp")
        muxer.start_encoding()
        for packet in pictures.demux(video=0):
            if packet.size:
                packet.stream = video
                muxer.mux(packet)
        size, shape = sound.codec_context.frame_size or 1024, sound.codec_context.format.name
        for number in range(seconds * rate // size):
            t = (np.arange(size) + number * size) / rate
            wave = (0.3 * np.sin(2 * np.pi * (200 + 50 * t) * t)).astype(np.float32).reshape(1, -1)
            if shape.startswith("s16"):
                wave = (wave * 30000).astype(np.int16)
            block = av.AudioFrame.from_ndarray(wave, format=shape, layout="mono")
            block.sample_rate, block.time_base = rate, Fraction(1, rate)
            block.pts = number * size + round(begin * rate)
            muxer.mux(sound.encode(block))
        muxer.mux(sound.encode(None))
    return out.getvalue()


def sound_of(content: bytes) -> list[tuple[Fraction, bytes]]:
    """Time and payload of every audio packet, by PyAV alone."""
    with av.open(io.BytesIO(content)) as container:
        return [(p.pts * p.time_base, bytes(p)) for p in container.demux(audio=0) if p.size]


def within(sound, end=Fraction(3)):
    return [(t, payload) for t, payload in sound if 0 <= t < end]


@pytest.mark.parametrize(
    ("codec", "container", "jitter"),
    [
        ("aac", "mp4", 0),
        ("libmp3lame", "mp4", 0),
        ("libopus", "mp4", 0),
        ("aac", "matroska", Fraction(1, 48000)),
    ],
)
def test_kept_sound_is_copied_with_its_times(kit, keeping, codec, container, jitter):
    content = with_sound(kit, codec, container=container)
    treated, after = cleanse(kit, content, keeping)
    expected, got = within(sound_of(content)), sound_of(after)
    assert len(expected) > 60
    assert [p for _, p in got] == [p for _, p in expected]
    assert max(abs(a - b) for (a, _), (b, _) in zip(got, expected, strict=True)) <= jitter
    assert kit.frames_of(after)[1] == kit.frames_of(content)[1]
    assert treated.facts["audio_kept"] == 1
    assert forbidden(io.BytesIO(after), sound=True) == ()
    with av.open(io.BytesIO(after)) as result:
        assert [s.type for s in result.streams] == ["video", "audio"]
        assert sum(f.samples for f in result.decode(audio=0)) > 2.8 * 48000


def test_sound_is_forbidden_where_the_profile_drops_it(kit, keeping, whole_profile):
    content = with_sound(kit)
    _, kept = cleanse(kit, content, keeping)
    assert "tracks" in [f.where.path for f in forbidden(io.BytesIO(kept))]
    treated, dropped = cleanse(kit, content, whole_profile)
    assert forbidden(io.BytesIO(dropped)) == ()
    assert "drop_audio" in [t.kind for t in treated.treatments]


def test_sound_that_begins_later_and_ends_earlier_stays_where_it_was(kit, keeping):
    content = with_sound(kit, begin=Fraction(3, 2), seconds=1)
    _, after = cleanse(kit, content, keeping)
    assert sound_of(after) == sound_of(content)
    assert min(t for t, _ in sound_of(after)) > 1


@pytest.mark.parametrize("done", [0, 1])
def test_sound_survives_an_interruption_byte_for_byte(kit, keeping, done):
    content = with_sound(kit)
    _, expected = cleanse(kit, content, keeping)
    saved = kit.Saved()

    def stop(progress):
        if progress.stage == "mask" and progress.done == done + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cleanse(kit, content, keeping, saved=saved, progress=stop)
    assert cleanse(kit, content, keeping, saved=saved)[1] == expected


def test_a_video_without_sound_needs_none(kit, keeping):
    treated, after = cleanse(kit, kit.film(3), keeping)
    assert treated.facts["audio_kept"] == 0
    assert forbidden(io.BytesIO(after)) == ()


def test_sound_that_mp4_does_not_carry_stops_the_item(kit, keeping):
    with pytest.raises(MalformedItemError, match="pcm_s16le"):
        cleanse(kit, with_sound(kit, "pcm_s16le", container="mov", rate=8000, seconds=1), keeping)


def test_bytes_beside_samples_are_found(kit, whole_profile):
    _, after = cleanse(kit, kit.film(3), whole_profile)
    at = after.index(b"mdat") - 4
    size = int.from_bytes(after[at : at + 4])
    planted = (
        after[:at] + (size + 8).to_bytes(4) + after[at + 4 : at + size] + b"CANARY!!" + after[at + size :]
    )
    assert [f.where.path for f in forbidden(io.BytesIO(planted))] == ["mdat:unlisted"]
