"""Independent re-reading of released NMEA text; uses nothing of the reader and the writer.

A released log must match a grammar of its own in full: pairs of an RMC and a GGA of one place and time, talker
GN, with every field that could tell more left empty, and void RMCs between segments.
"""

import math
import re
from dataclasses import dataclass
from datetime import datetime

_NUMBER = r"-?\d+\.\d+"
_PLACE = r"\d{4}\.\d{7},[NS],\d{5}\.\d{7},[EW]"
_PAIR = re.compile(
    rf"\$GNRMC,(?P<time>\d{{6}}\.\d{{3}})?,A,(?P<place>{_PLACE}),(?:{_NUMBER})?,,(?P<date>\d{{6}})?,,,A"
    r"\*(?P<first>[0-9A-F]{2})\r\n"
    rf"\$GNGGA,(?P<again>\d{{6}}\.\d{{3}})?,(?P=place),1,,,(?P<height>{_NUMBER},M|,),,,,"
    r"\*(?P<second>[0-9A-F]{2})\r\n"
)
_VOID = "$GNRMC,,V,,,,,,,,,,N*4D\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasedNmea:
    """What a released log shows.

    Attributes:
        lat: Latitudes in degrees.
        lon: Longitudes in degrees.
        time_s: POSIX seconds UTC; NaN where absent.
        elevation: Whether any fix has an elevation.
    """

    lat: tuple[float, ...]
    lon: tuple[float, ...]
    time_s: tuple[float, ...]
    elevation: bool


def read_released_nmea(text: str) -> ReleasedNmea | None:
    """Read a released log; None where it breaks the grammar, a checksum or a date."""
    lat: list[float] = []
    lon: list[float] = []
    times: list[float] = []
    elevation, at = False, 0
    while at < len(text):
        if lat and text.startswith(_VOID, at):
            at += len(_VOID)
        match = _PAIR.match(text, at)
        if (
            match is None
            or match["time"] != match["again"]
            or (match["time"] is None) != (match["date"] is None)
        ):
            return None
        first, second, _ = match[0].split("\r\n")
        time_s = _seconds(match["date"], match["time"])
        if not (_sealed(first) and _sealed(second)) or time_s is None:
            return None
        y, north, x, east = match["place"].split(",")
        lat.append(_degrees(y, 2) * (1.0 if north == "N" else -1.0))
        lon.append(_degrees(x, 3) * (1.0 if east == "E" else -1.0))
        times.append(time_s)
        elevation |= match["height"] != ","
        at = match.end()
    if not lat:
        return None
    return ReleasedNmea(lat=tuple(lat), lon=tuple(lon), time_s=tuple(times), elevation=elevation)


def _sealed(line: str) -> bool:
    total = 0
    for character in line[1:-3]:
        total ^= ord(character)
    return f"{total:02X}" == line[-2:]


def _degrees(field: str, width: int) -> float:
    return int(field[:width]) + float(field[width:]) / 60.0


def _seconds(day: str | None, time: str | None) -> float | None:
    if day is None or time is None:
        return math.nan
    century = "20" if day[4:] < "80" else "19"
    try:
        moment = datetime.strptime(f"{day[:4]}{century}{day[4:]} {time} +0000", "%d%m%Y %H%M%S.%f %z")
    except ValueError:
        return None
    return moment.timestamp()
