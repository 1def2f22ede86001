"""Logs of NMEA 0183 sentences (IEC 61162-1): GGA, RMC, GLL and GNS are positions, ZDA and RMC give the date.

Sentences of one time of day form one fix. A date holds until the next one; a step of more than half a day
between neighbours is midnight. Everything else that a receiver says (satellites, precision, proprietary
sentences, other ships) is listed in ``Track.dropped`` and not carried; neither is the talker.

A void RMC without a time ends a segment: NMEA knows no segments, and released pieces must not join again.
"""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from anonymize.errors import LimitExceededError, MalformedItemError, UnknownCrsError
from anonymize.formats.nmea_sentences import (
    FIRST_YEAR,
    LAYOUTS,
    LONGEST_LINE,
    Sentence,
    checksum,
    day_of,
    looks_like_sentence,
    number_in,
    parse_sentence,
    place_of,
    time_of_day,
    valid_fix,
)
from anonymize.formats.track import (
    Track,
    check_count,
    list_dropped,
    number_segments,
    require_degrees_crs,
    to_positions,
)
from anonymize.geo.crs import WGS84
from anonymize.geo.ellipsoid import FloatArray
from anonymize.profile import TrackProfile

__all__ = ["is_nmea", "read_nmea", "write_nmea"]

_LOOKED_AT = 20
_LEAST_SHARE = 0.5
_KNOT_MPS = 1852.0 / 3600.0
_DAY_S = 86400.0
_VOID = "$GNRMC,,V,,,,,,,,,,N"
_NO_RANK = 9


@dataclass(slots=True)
class _Epoch:
    """What the sentences of one time of day say; ``rank`` orders those that give the position."""

    tod_s: float
    starts: bool
    day: int | None = None
    rank: int = _NO_RANK
    lat: float = math.nan
    lon: float = math.nan
    elevation_m: float = math.nan
    speed_mps: float = math.nan


def is_nmea(text: str) -> bool:
    """Whether at least half of the first 20 lines that are not blank are sentences with a checksum."""
    lines: list[str] = []
    for line in text[: _LOOKED_AT * LONGEST_LINE].splitlines():
        if line.strip():
            lines.append(line.strip())
        if len(lines) == _LOOKED_AT:
            break
    sentences = sum(1 for line in lines if looks_like_sentence(line))
    return sentences > 0 and sentences >= _LEAST_SHARE * len(lines)


def read_nmea(content: bytes, *, profile: TrackProfile, crs: str | None = WGS84) -> Track:
    """Read the fixes of an NMEA log.

    Args:
        content: ASCII lines, each one sentence with a checksum, with or without a tag block before it.
        profile: Limits.
        crs: The geographic reference system that the operator declared; receivers give WGS-84.

    Returns:
        One fix per time of day. A fix has no time when no sentence of the log gives a date. Fixes that the
        receiver calls invalid (status V, quality 0, mode N) are left out and counted in ``dropped``.

    Raises:
        MalformedItemError: Names the line that is no sentence, has a wrong or no checksum or an impossible
            value; or no line is a position, or a valid fix lies at 0, 0.
        LimitExceededError: There are more fixes than the profile permits.
        UnknownCrsError: ``crs`` is unknown or not geographic, or a DTM sentence names another datum than WGS-84.
    """
    known = require_degrees_crs(crs, "an NMEA log")
    reader = _Reader(profile.max_points)
    for number, line in _lines(content):
        reader.take(number, parse_sentence(number, line))
    reader.finish()
    fixes = reader.fixes
    check_count(len(fixes), profile.max_points)
    lat, lon, elevation = to_positions(
        np.array([f.lat for f in fixes]),
        np.array([f.lon for f in fixes]),
        np.array([f.elevation_m for f in fixes]),
        crs=known,
        place="fix {}".format,
    )
    time_s = np.array(reader.times, dtype=np.float64)
    return Track(
        lat=lat,
        lon=lon,
        time_s=time_s,
        elevation_m=elevation,
        speed_mps=np.array([f.speed_mps for f in fixes]),
        segment=number_segments(np.array([f.starts for f in fixes], dtype=bool), time_s),
        crs=known,
        dropped=reader.dropped(),
    )


def write_nmea(track: Track) -> bytes:
    """Write a track as RMC and GGA sentences of the talker GN; deterministic.

    Latitude and longitude have seven decimals of a minute (0.2 mm), times milliseconds, speeds and elevations
    (above mean sea level) are given where known. Satellites, precision and course are empty. Each segment
    after the first begins with a void RMC without a time.

    Raises:
        MalformedItemError: A year has no two digits of GPS (1980 to 2079).
    """
    lines: list[str] = []
    clock = [_clock(t) for t in track.time_s.tolist()]
    lat, lon = _minutes(track.lat, 2, "NS"), _minutes(track.lon, 3, "EW")
    elevation, speed = track.elevation_m.tolist(), track.speed_mps.tolist()
    for part in track.segments():
        if lines:
            lines.append(_sealed(_VOID))
        for i in range(part.start, part.stop):
            at, day = clock[i]
            knots = "" if math.isnan(speed[i]) else f"{speed[i] / _KNOT_MPS:.3f}"
            height = ",,,," if math.isnan(elevation[i]) else f",{elevation[i]:.2f},M,,"
            lines.append(_sealed(f"$GNRMC,{at},A,{lat[i]},{lon[i]},{knots},,{day},,,A"))
            lines.append(_sealed(f"$GNGGA,{at},{lat[i]},{lon[i]},1,,{height},,"))
    return "\r\n".join([*lines, ""]).encode()


def _clock(time_s: float) -> tuple[str, str]:
    if math.isnan(time_s):
        return "", ""
    moment = datetime.fromtimestamp(round(time_s * 1000.0) / 1000.0, tz=UTC)
    if not FIRST_YEAR <= moment.year < FIRST_YEAR + 100:
        raise MalformedItemError(f"NMEA has no such year (got {moment.year}, expected 1980 to 2079)")
    return f"{moment:%H%M%S}.{round(moment.microsecond / 1000.0):03d}", f"{moment:%d%m%y}"


def _minutes(values: FloatArray, width: int, sides: str) -> list[str]:
    # In whole units of the last decimal, so that rounding never gives 60 minutes.
    units = np.round(np.abs(values) * 60e7).astype(np.int64)
    degrees, rest = np.divmod(units, 600_000_000)
    whole, parts = np.divmod(rest, 10_000_000)
    return [
        f"{d:0{width}d}{m:02d}.{p:07d},{sides[int(negative)]}"
        for d, m, p, negative in zip(
            degrees.tolist(), whole.tolist(), parts.tolist(), (values < 0).tolist(), strict=True
        )
    ]


def _sealed(sentence: str) -> str:
    return f"{sentence}*{checksum(sentence[1:]):02X}"


def _lines(content: bytes) -> Iterator[tuple[int, str]]:
    try:
        text = content.decode("ascii")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise MalformedItemError(
            f"line {line}: not ASCII (got byte {content[error.start]:#04x}, expected an NMEA sentence)"
        ) from None
    for number, raw in enumerate(text.split("\n"), start=1):
        if stripped := raw.strip():
            yield number, stripped


class _Reader:
    """Joins sentences to fixes; knows dates and drops as it goes."""

    def __init__(self, max_points: int) -> None:
        self.fixes: list[_Epoch] = []
        self.times: list[float] = []
        self._max_points = max_points
        self._dropped: Counter[str] = Counter()
        self._current: _Epoch | None = None
        self._said: set[tuple[str, str]] = set()
        self._day: int | None = None
        self._last_tod = math.nan
        self._starts = False

    def take(self, number: int, sentence: Sentence) -> None:
        self._dropped["tag block"] += sentence.tagged
        if not sentence.kind:
            self._dropped[sentence.name] += 1
            return
        if sentence.kind == "DTM":
            if sentence.fields[0] not in {"W84", ""}:
                raise UnknownCrsError(
                    f"line {number}: the receiver's datum is no WGS-84 "
                    f"(got {sentence.fields[0][:8]!r}, expected 'W84')"
                )
            return
        tod = time_of_day(sentence, number)
        if sentence.kind == "RMC" and math.isnan(tod) and not valid_fix(sentence):
            self.finish()
            self._starts = True
            return
        epoch = self._epoch(tod, sentence)
        day = day_of(sentence, number)
        epoch.day = epoch.day if day is None else day
        if LAYOUTS[sentence.kind].has_place:
            self._position(epoch, sentence, number)

    def _epoch(self, tod: float, sentence: Sentence) -> _Epoch:
        current, said = self._current, (sentence.talker, sentence.kind)
        if current is None or not _same(current.tod_s, tod) or said in self._said:
            self.finish()
            current = self._current = _Epoch(tod_s=tod, starts=self._starts)
            self._starts = False
        self._said.add(said)
        return current

    def _position(self, epoch: _Epoch, sentence: Sentence, number: int) -> None:
        kind, fields = sentence.kind, sentence.fields
        if not valid_fix(sentence):
            self._dropped[f"{kind} without a fix"] += 1
            return
        lat, lon = place_of(sentence, number)
        if LAYOUTS[kind].rank < epoch.rank:
            epoch.rank, epoch.lat, epoch.lon = LAYOUTS[kind].rank, lat, lon
        if kind == "RMC":
            epoch.speed_mps = number_in(fields[6], "speed", number) * _KNOT_MPS
        elif kind in {"GGA", "GNS"}:
            if kind == "GGA" and fields[8] and fields[9] != "M":
                raise MalformedItemError(
                    f"line {number}: altitude's unit is no metre (got {fields[9][:8]!r})"
                )
            epoch.elevation_m = number_in(fields[8], "altitude", number)

    def finish(self) -> None:
        """Close the fix that is being joined."""
        epoch, self._current = self._current, None
        self._said.clear()
        if epoch is None:
            return
        if epoch.day is not None:
            if self._day is None:
                self._date_what_came_before(epoch.day, epoch.tod_s)
            self._day = epoch.day
        elif self._day is not None:
            self._day += _midnight(self._last_tod, epoch.tod_s)
        if not math.isnan(epoch.tod_s):
            self._last_tod = epoch.tod_s
        if epoch.rank == _NO_RANK:
            self._starts |= epoch.starts
            return
        if len(self.fixes) == self._max_points:
            raise LimitExceededError(f"the track holds too many fixes (expected at most {self._max_points})")
        self.fixes.append(epoch)
        self.times.append(math.nan if self._day is None else self._day * _DAY_S + epoch.tod_s)

    def _date_what_came_before(self, day: int, after: float) -> None:
        for i in range(len(self.fixes) - 1, -1, -1):
            before = self.fixes[i].tod_s
            if not math.isnan(before):
                day -= _midnight(before, after)
                after = before
            self.times[i] = day * _DAY_S + before

    def dropped(self) -> tuple[str, ...]:
        """Names of what was not carried, with a count where fixes or times are meant."""
        undated = sum(
            1
            for f, t in zip(self.fixes, self.times, strict=True)
            if math.isnan(t) and not math.isnan(f.tod_s)
        )
        if undated:
            self._dropped["time without a date"] = undated
        counted = {name: count for name, count in self._dropped.items() if count}
        return list_dropped(f"{n} ({c})" if " without " in n else n for n, c in counted.items())


def _same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))


def _midnight(before: float, after: float) -> int:
    """Days between two neighbours' times of day, which lie less than half a day apart."""
    if math.isnan(before) or math.isnan(after) or abs(after - before) <= _DAY_S / 2:
        return 0
    return 1 if after < before else -1
