"""Which attributes of points survive, and which of them tell the time."""

from collections.abc import Sequence

from anonymize.errors import MalformedItemError

_TIMES = frozenset(
    {"t", "time", "timestamp", "time_stamp", "stamp", "gps_time", "gpstime", "time_offset", "offset_time",
     "point_time", "time_s", "time_us", "time_ns", "sec", "secs", "seconds"}
)  # fmt: skip
_PARTS_OF_SECONDS = frozenset({"nsec", "nsecs", "nanosec", "nanoseconds", "usec", "usecs"})


def is_listed(name: str, allowed: Sequence[str]) -> bool:
    """Whether an attribute is on the allow-list of a profile (``PointProfile.keep_attributes``).

    Parts of absolute seconds never are: they cannot be made relative by themselves.
    """
    lower = name.lower()
    return lower not in _PARTS_OF_SECONDS and any(
        lower.startswith(a[:-1]) if a.endswith("*") else lower == a for a in allowed
    )


def is_time(name: str) -> bool:
    """Whether an attribute tells when a point was measured."""
    return name.lower() in _TIMES


def printable_name(raw: bytes) -> str:
    """The name of an attribute as the file spells it.

    Raises:
        MalformedItemError: It is empty, or holds anything but printable ASCII.
    """
    if not raw or not all(0x20 <= byte < 0x7F for byte in raw):  # noqa: PLR2004
        raise MalformedItemError(
            f"an attribute's name is no printable ASCII (got {len(raw)} bytes, expected 1 to 32)"
        )
    return raw.decode("ascii")
