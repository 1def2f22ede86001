"""Sound that a profile keeps: the first audio stream's packets, each in the segment that its time falls into."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction

import av
from av.audio.stream import AudioStream
from av.packet import Packet
from av.stream import Stream

from anonymize.errors import MalformedItemError
from anonymize.media.video.container import VideoSource, decoding_errors, open_video
from anonymize.media.video.timeline import Timeline

# What MP4 carries without further tables, in FFmpeg's names.
AUDIO_CODECS = ("aac", "mp3", "opus")


@dataclass(slots=True)
class Sound:
    """An audio stream that is read once, from its beginning to its end.

    Attributes:
        stream: The stream, a template for the one that is written.
        rate: Samples per second.
    """

    stream: AudioStream
    rate: int
    _packets: Iterator["Packet[Stream]"]
    _next: "Packet[Stream] | None" = None

    def between(self, begin: int, end: int) -> Iterator["Packet[Stream]"]:
        """Packets that begin at one of the samples ``begin`` to ``end - 1``; those before are passed over.

        Each is a new packet of the same payload, without side data. Spans must not go back in time.

        Raises:
            MalformedItemError: The sound is damaged, or its times are missing or not increasing.
        """
        while (packet := self._next or next(self._packets, None)) is not None:
            self._next = packet
            if packet.pts is None or packet.pts >= end:
                return
            self._next = None
            if packet.pts >= begin:
                yield packet


@contextmanager
def open_sound(source: VideoSource, timeline: Timeline) -> Iterator[Sound | None]:
    """Open the first audio stream of a video; None where it has none.

    Times count from the video's first frame, to the nearest sample.

    Args:
        source: The video; nothing else may move its position meanwhile.
        timeline: Of the video.

    Raises:
        MalformedItemError: The codec is not one that can be copied into MP4.
    """
    with open_video(source) as (container, _):
        stream = next(iter(container.streams.audio), None)
        if stream is None:
            yield None
            return
        context = stream.codec_context
        name = "unknown" if context is None else context.codec.canonical_name
        if name not in AUDIO_CODECS or not context.sample_rate:
            raise MalformedItemError(
                f"the audio cannot be kept (got codec {name!r}, expected {', '.join(AUDIO_CODECS)}; "
                "the profile's videos.audio may be 'drop')"
            )
        origin = timeline.ticks[0] * timeline.time_base
        yield Sound(
            stream, context.sample_rate, _copies(container.demux(stream), origin, context.sample_rate)
        )


def _copies(
    packets: Iterator["Packet[AudioStream]"], origin: Fraction, rate: int
) -> Iterator["Packet[Stream]"]:
    shift, last = round(origin * rate), None
    with decoding_errors("the audio cannot be read"):
        for packet in packets:
            if packet.size == 0:
                continue
            if packet.is_corrupt or packet.pts is None or packet.time_base is None:
                raise MalformedItemError("an audio packet is damaged or has no time")
            time = round(packet.pts * packet.time_base * rate) - shift
            if last is not None and time <= last:
                raise MalformedItemError(f"times of the audio do not increase (got {time} after {last})")
            last = time
            copy = av.Packet(bytes(packet))
            copy.pts = copy.dts = time
            copy.duration = round((packet.duration or 0) * packet.time_base * rate)
            copy.time_base, copy.is_keyframe = Fraction(1, rate), True
            yield copy
