"""Sentences of NMEA 0183 (IEC 61162-1): their frame, their checksum and the fields that are read."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import reduce
from operator import xor

import pynmea2  # type: ignore[import-untyped]

from anonymize.errors import MalformedItemError

# GNSS receivers of all systems, and integrated instruments.
TALKERS = frozenset({"GN", "GP", "GL", "GA", "GB", "BD", "GQ", "QZ", "GI", "IN", "II"})
LONGEST_LINE = 1024
FIRST_YEAR = 1980
"""A year of two digits is one of GPS, which began in 1980."""

_LINE = re.compile(r"[$!](?P<address>[A-Z0-9]{3,8})(?P<rest>,[^*$!]*)?\*(?P<sum>[0-9A-Fa-f]{2})")
_TAG_BLOCK = re.compile(r"\\([^*\\]*)\*([0-9A-Fa-f]{2})\\")
_TIME = re.compile(r"(\d\d)(\d\d)(\d\d(?:\.\d+)?)")
_DATE = re.compile(r"(\d\d)(\d\d)(\d\d)")
_LATITUDE = re.compile(r"(\d\d)(\d\d(?:\.\d+)?)")
_LONGITUDE = re.compile(r"(\d{3})(\d\d(?:\.\d+)?)")
_NUMBER = re.compile(r"-?\d+(?:\.\d*)?")
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_NO_PLACE = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """One line.

    Attributes:
        name: What it is called in ``Track.dropped``: the kind without its talker, or a maker's own address.
        talker: Two letters; empty where the sentence is not read.
        kind: Three letters; empty where the sentence is not read.
        fields: Its fields; none where the sentence is not read.
        tagged: Whether a tag block stood before it.
    """

    name: str
    talker: str
    kind: str
    fields: tuple[str, ...]
    tagged: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where the fields of one kind lie, counted from 0.

    Attributes:
        rank: Of several kinds of one time the one of the least rank gives the position.
        time: Time of day.
        place: Latitude, followed by its side, longitude and its side; -1 where the kind has none.
        fields: Least number of fields.
    """

    rank: int
    time: int
    place: int
    fields: int

    @property
    def has_place(self) -> bool:
        """Whether the kind gives positions."""
        return self.place != _NO_PLACE


LAYOUTS = {
    "GGA": Layout(rank=0, time=0, place=1, fields=10),
    "GNS": Layout(rank=1, time=0, place=1, fields=9),
    "RMC": Layout(rank=2, time=0, place=2, fields=9),
    "GLL": Layout(rank=3, time=4, place=0, fields=6),
    "ZDA": Layout(rank=4, time=0, place=_NO_PLACE, fields=4),
    "DTM": Layout(rank=5, time=0, place=_NO_PLACE, fields=1),
}


def looks_like_sentence(line: str) -> bool:
    """Whether a line has the form of a sentence with a checksum, which is not computed."""
    return _LINE.fullmatch(_TAG_BLOCK.sub("", line, count=1)) is not None


def parse_sentence(number: int, line: str) -> Sentence:
    """Read one line.

    Raises:
        MalformedItemError: It is no sentence, or a checksum is missing or wrong; names the line's number.
    """
    block = _TAG_BLOCK.match(line)
    if block:
        if checksum(block[1]) != int(block[2], 16):
            raise MalformedItemError(f"line {number}: the tag block's checksum is wrong (got {block[2]})")
        line = line[block.end() :]
    match = _LINE.fullmatch(line) if len(line) <= LONGEST_LINE else None
    if match is None:
        raise MalformedItemError(
            f"line {number}: no NMEA sentence with a checksum (got {len(line)} characters)"
        )
    address = match["address"]
    talker, kind = address[:2], address[2:]
    read = line[0] == "$" and talker in TALKERS and kind in LAYOUTS
    if not read and checksum(address + (match["rest"] or "")) != int(match["sum"], 16):
        raise MalformedItemError(f"line {number}: the checksum is wrong (got {match['sum']})")
    fields = _fields(number, line, kind) if read else ()
    name = kind if read else ("!" if line[0] == "!" else "") + _name(address)
    return Sentence(
        name=name,
        talker=talker if read else "",
        kind=kind if read else "",
        fields=fields,
        tagged=block is not None,
    )


def checksum(text: str) -> int:
    """The exclusive or of all characters."""
    return reduce(xor, text.encode(), 0)


def _fields(number: int, line: str, kind: str) -> tuple[str, ...]:
    try:
        fields = tuple(pynmea2.parse(line, check=True).data)
    except ValueError as error:
        # The library's message quotes the line, which holds a position.
        raise MalformedItemError(f"line {number}: no NMEA sentence (got {type(error).__name__})") from None
    if len(fields) < LAYOUTS[kind].fields:
        raise MalformedItemError(
            f"line {number}: {kind} is too short (got {len(fields)} fields, "
            f"expected {LAYOUTS[kind].fields} or more)"
        )
    return fields


def _name(address: str) -> str:
    if address.startswith("P"):
        return address[:4]
    return address[2:] if address[:2] in TALKERS and len(address) > 4 else address  # noqa: PLR2004


def valid_fix(sentence: Sentence) -> bool:
    """Whether the receiver calls the fix valid; a mode field, which newer versions added, may be missing."""
    fields = sentence.fields
    if sentence.kind == "GGA":
        return fields[5] not in {"0", ""}
    if sentence.kind == "GNS":
        return fields[5].strip("N") != ""
    status, mode = (1, 11) if sentence.kind == "RMC" else (5, 6)
    return fields[status] == "A" and (len(fields) <= mode or fields[mode] != "N")


def time_of_day(sentence: Sentence, number: int) -> float:
    """Seconds of the day; NaN where the field is empty.

    Raises:
        MalformedItemError: It is no time.
    """
    field = sentence.fields[LAYOUTS[sentence.kind].time]
    if not field:
        return math.nan
    match = _TIME.fullmatch(field)
    hours, minutes, seconds = (int(match[1]), int(match[2]), float(match[3])) if match else (24, 0, 0.0)
    if hours > 23 or minutes > 59 or seconds >= 61.0:  # noqa: PLR2004 - with leap seconds
        raise MalformedItemError(f"line {number}: impossible time (got {field[:16]!r}, expected hhmmss.sss)")
    return hours * 3600.0 + minutes * 60.0 + seconds


def day_of(sentence: Sentence, number: int) -> int | None:
    """Days since 1970-01-01 that an RMC or a ZDA states; None where none is stated.

    Raises:
        MalformedItemError: It is no date.
    """
    fields = sentence.fields
    if sentence.kind == "RMC" and fields[8]:
        match = _DATE.fullmatch(fields[8])
        day, month, year = (int(match[1]), int(match[2]), int(match[3])) if match else (0, 0, 0)
        year += 2000 if year < FIRST_YEAR - 1900 else 1900
    elif sentence.kind == "ZDA" and fields[3]:
        day, month, year = (int(f) if f.isdecimal() else 0 for f in fields[1:4])
    else:
        return None
    try:
        return date(year, month, day).toordinal() - _EPOCH_DAY
    except ValueError:
        raise MalformedItemError(
            f"line {number}: {sentence.kind} has an impossible date (expected day, month and year)"
        ) from None


def place_of(sentence: Sentence, number: int) -> tuple[float, float]:
    """Latitude and longitude in degrees.

    Raises:
        MalformedItemError: One is none; the message does not quote it.
    """
    at = LAYOUTS[sentence.kind].place
    fields = sentence.fields
    return (
        _angle(fields[at : at + 2], _LATITUDE, "NS", 90.0, number),
        _angle(fields[at + 2 : at + 4], _LONGITUDE, "EW", 180.0, number),
    )


def _angle(fields: Sequence[str], form: re.Pattern[str], sides: str, limit: float, number: int) -> float:
    match = form.fullmatch(fields[0])
    minutes = float(match[2]) if match else 60.0
    value = int(match[1]) + minutes / 60.0 if match else limit + 1.0
    if minutes >= 60.0 or value > limit or fields[1] not in set(sides):  # noqa: PLR2004
        raise MalformedItemError(
            f"line {number}: a coordinate is impossible (expected degrees, minutes and one of {sides})"
        )
    return value if fields[1] == sides[0] else -value


def number_in(field: str, name: str, number: int) -> float:
    """A decimal; NaN where the field is empty.

    Raises:
        MalformedItemError: It is none.
    """
    if not field:
        return math.nan
    if not _NUMBER.fullmatch(field):
        raise MalformedItemError(f"line {number}: {name} is no number (got {field[:16]!r})")
    return float(field)
