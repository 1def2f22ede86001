"""True tracks of a container's fix channels, for zone tests and as the reference of a recording."""

from array import array
from collections.abc import Mapping

import numpy as np

from anonymize.containers.codec import Codec, codec_of
from anonymize.containers.frames import own_time_ns
from anonymize.containers.messages.fixes import Fix, fixes_of
from anonymize.containers.rules import treatments_of
from anonymize.containers.stream import Container
from anonymize.errors import AnonymizeError, MalformedItemError
from anonymize.formats.track import Track, check_count, number_segments
from anonymize.profile import Profile

_NS = 1e-9
_CRS = "EPSG:4326"


def tracks_of(container: Container, *, profile: Profile) -> tuple[Track, ...]:
    """The tracks of all channels that the profile treats as positions, the longest (by fixes) first.

    A fix has the time of its message's stamp; where that is not set or of another clock, the time of the log.
    Messages that report no fix add nothing; channels without any fix add no track.

    Raises:
        LimitExceededError: A channel has more fixes than the profile permits.
        MalformedItemError: A message is malformed or a coordinate impossible; names topic and number.
        UnknownFormatError: A channel is for quarantine, or cannot be decoded.
    """
    treatments = treatments_of(container.summary, profile.containers)
    wanted = {channel_id for channel_id, treat in treatments.items() if treat == "position"}
    found: dict[int, array[float]] = {}
    codecs: dict[int, Codec] = {}
    counts: dict[int, int] = {}
    for message in container.messages() if wanted else ():
        channel = message.channel
        if channel.id not in wanted:
            continue
        counts[channel.id] = number = counts.get(channel.id, -1) + 1
        try:
            if channel.id not in codecs:
                codecs[channel.id] = codec_of(channel)
            for fix in fixes_of(codecs[channel.id].decode(message.data)):
                time_ns = own_time_ns(fix.stamp_ns, message.log_time_ns)
                found.setdefault(channel.id, array("d")).extend(_row(fix, time_ns))
        except (AnonymizeError, KeyError, TypeError, ValueError) as error:
            reason = str(error) if isinstance(error, AnonymizeError) else type(error).__name__
            raise MalformedItemError(
                f"message {number} of topic {channel.topic[:128]!r}: {reason}"
            ) from error
    return _tracks(found, profile)


def _row(fix: Fix, time_ns: int) -> tuple[float, ...]:
    return fix.lat, fix.lon, time_ns * _NS, fix.height_m, fix.speed_mps


def _tracks(found: Mapping[int, "array[float]"], profile: Profile) -> tuple[Track, ...]:
    tracks = []
    for values in found.values():
        table = np.frombuffer(values, np.float64).reshape(-1, 5)
        check_count(len(table), profile.tracks.max_points)
        lat, lon, time_s, height, speed = (np.ascontiguousarray(column) for column in table.T)
        tracks.append(
            Track(
                lat=lat,
                lon=lon,
                time_s=time_s,
                elevation_m=height,
                speed_mps=speed,
                segment=number_segments(np.zeros(len(lat), bool), time_s),
                crs=_CRS,
            )
        )
    return tuple(sorted(tracks, key=len, reverse=True))
