"""Independent scan of CAN logs that left: readers, rules and decoding of its own.

1. The log matches the grammar of what is written here, so that nothing hides beside frames. 2. No frame has an
identifier that never leaves. 3. Every frame is described by the DBC, and every signal that the profile drops is
raw 0, as cantools decodes it. 4. Bits of no signal are zero or padding. 5. No VIN can be read from consecutive
frames. 6. No payload holds a place near the true track. 7. Times and date are those of the release.
"""

import fnmatch
import functools
import re
import zlib
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Literal

import numpy as np
from cantools.database import Database, load_string
from cantools.database.can import Message
from cantools.database.errors import DecodeError
from scipy.spatial import cKDTree  # type: ignore[import-untyped]

from anonymize.can.released import GrammarError, Seen, date_of, seen_in
from anonymize.errors import ProfileError
from anonymize.finding import FieldPath, Finding, FindingKind
from anonymize.formats.track import Track
from anonymize.profile import CanProfile
from anonymize.residual import ResidualReport

_SCANNER = "can-residual@1"
_LEAST_TIME_SHIFT_S = 30 * 86400.0
_NEVER_STANDARD = frozenset(range(0x7E0, 0x7F0)) | {0x7DF}
_NEVER_FORMATS = frozenset({0xDA, 0xDB, 0xCD, 0xCE})
_NEVER_GROUPS = frozenset(
    {0xFEEC, 0xFEEB, 0xFDC5, 0xFEDA, 0xFE6B, 0x1F014, 0xFEF3, 0xFEE8, 0xFEE6, 0xFEE0, 0xFEC1, 0x1F801, 0x1F802,
     0x1F803, 0x1F805, 0x1F809, 0x1F010, 0x1F112, 0x1F503, 0xEC00, 0xEB00, 0xC800, 0xC700}
)  # fmt: skip
_VIN = re.compile(rb"(?=([A-HJ-NPR-Z0-9]{9}[A-HJ-NPR-Z0-9]{4}[0-9]{4}))")
_VIN_VALUES = {**{str(d): d for d in range(10)}, **dict(zip("ABCDEFGHJKLMNPRSTUVWXYZ",
               (1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 7, 9, 2, 3, 4, 5, 6, 7, 8, 9), strict=True))}  # fmt: skip
_VIN_WEIGHTS = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
_FRAMES_OF_VIN = 4
_LEAST_DISTINCT = 8
_NEAR_DEG = 0.0005
_LARGEST_DEG = (90.0, 180.0)
_BATCH = 65536
_MOST_FINDINGS = 64
_UNDESCRIBED = "no DBC describes it"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedTimes:
    """Which times a log may show.

    Attributes:
        mode: ``CLEANSED``: any. ``LOCAL``: clip k within k · stride and its length. ``OFFSET``: a date far from
            the truth.
        stride_s: Stride of a LOCAL release (``clip_stride_s``).
        clip_lengths_s: Seconds of each clip, by number.
        true_start_s: POSIX seconds of the first true time of an OFFSET release.
    """

    mode: Literal["CLEANSED", "LOCAL", "OFFSET"]
    stride_s: float = 0.0
    clip_lengths_s: Sequence[float] = ()
    true_start_s: float = field(default=0.0, repr=False)

    def __post_init__(self) -> None:
        if self.mode == "LOCAL" and not self.stride_s > 0.0:
            raise ValueError(f"clips have a stride (got {self.stride_s!r} s)")


def scan_can(
    file: BinaryIO,
    kind: Literal["asc", "blf"],
    *,
    dbc: bytes,
    profile: CanProfile,
    times: ExpectedTimes,
    track: Track | None = None,
) -> ResidualReport:
    """Scan a log; memory is constant.

    Args:
        file: The seekable log.
        kind: Its format.
        dbc: The DBC that it was treated with.
        profile: The profile that it was treated with.
        times: Which times it may show.
        track: The true track, near which no payload may lie.

    Raises:
        ProfileError: The DBC cannot be read.
    """
    scan = FrameScan(dbc, profile, times, track)
    try:
        scan.date(date_of(file, kind))
        for seen in seen_in(file, kind):
            scan.take(seen)
        scan.finish()
    except GrammarError as error:
        scan.found(FindingKind.UNLISTED_FIELD, str(error), "grammar")
    except (zlib.error, ValueError, OverflowError) as error:
        scan.found(FindingKind.UNLISTED_FIELD, type(error).__name__, "grammar")
    return ResidualReport(
        scanners=(_SCANNER,), residual=tuple(scan.findings), facts={"mode": times.mode, "frames": scan.frames}
    )


class FrameScan:
    """The scan of one stream of frames (2 to 7 above), whatever holds them.

    Attributes:
        findings: What was found so far.
        frames: How many frames were taken.
    """

    def __init__(self, dbc: bytes, profile: CanProfile, times: ExpectedTimes, track: Track | None) -> None:
        """Take what :func:`scan_can` takes.

        Raises:
            ProfileError: The DBC cannot be read.
        """
        self.findings: list[Finding] = []
        self.frames = 0
        self._profile, self._times = profile, times
        self._database = _database(dbc)
        self._by_id = {(m.frame_id, m.is_extended_frame): m for m in self._database.messages}
        self._groups = {
            _group(m.frame_id): m for m in reversed(self._database.messages) if m.protocol == "j1939"
        }
        self._fault = functools.lru_cache(maxsize=_BATCH)(self._payload_fault)
        self._drops = functools.lru_cache(maxsize=_BATCH)(self._dropped)
        self._latest: defaultdict[tuple[int, bool], deque[bytes]] = defaultdict(
            lambda: deque(maxlen=_FRAMES_OF_VIN)
        )
        self._clip = 0
        self._payloads: list[bytes] = []
        self._tree = None if track is None else cKDTree(np.stack([track.lat, track.lon], axis=1))

    def found(self, kind: FindingKind, path: str, label: str) -> None:
        """Note a finding; a few are enough to deny."""
        if len(self.findings) < _MOST_FINDINGS:
            self.findings.append(
                Finding(kind=kind, where=FieldPath(path=path), confidence=1.0, detector=_SCANNER, label=label)
            )

    def date(self, start_s: float | None) -> None:
        """Look at the date that a log states."""
        mode = self._times.mode
        if mode == "LOCAL" and start_s is not None:
            self.found(FindingKind.TIMESTAMP, "head", "date")
        if mode == "OFFSET" and (
            start_s is None or abs(start_s - self._times.true_start_s) < _LEAST_TIME_SHIFT_S
        ):
            self.found(FindingKind.TIMESTAMP, "head", "near its true date")

    def take(self, seen: Seen) -> None:
        """Look at the next frame."""
        path = f"frame {self.frames}"
        self.frames += 1
        if self._times.mode == "LOCAL" and not self._in_clip(seen.time_s):
            self.found(FindingKind.TIMESTAMP, path, "outside the clips")
        if seen.error:
            return
        if _never(seen.id, extended=seen.extended):
            self.found(FindingKind.DEVICE_ID, path, "identifier")
            return
        fault = self._fault(seen.id, seen.extended, seen.data)
        if fault:
            self.found(FindingKind.UNLISTED_FIELD, path, fault)
        if seen.data:
            if fault != _UNDESCRIBED:
                self._vin(seen, path)
            if self._tree is not None:
                self._places(seen.data)

    def finish(self) -> None:
        """Look at what is left in the batch."""
        if self._payloads:
            self._look()
        if not self.frames:
            self.found(FindingKind.UNLISTED_FIELD, "log", "no frames")

    def _in_clip(self, time_s: float) -> bool:
        clip = int(time_s // self._times.stride_s)
        forwards, self._clip = clip >= self._clip, clip
        lengths = self._times.clip_lengths_s
        return (
            forwards and clip < len(lengths) and time_s - clip * self._times.stride_s <= lengths[clip] + 1e-5
        )

    def _payload_fault(self, identifier: int, extended: bool, data: bytes | None) -> str:  # noqa: FBT001
        message = self._by_id.get((identifier, extended))
        message = message or (self._groups.get(_group(identifier)) if extended else None)
        if message is None:
            return _UNDESCRIBED
        if data is None:
            return ""
        try:
            values = message.decode(data, scaling=False, decode_choices=False, allow_truncated=True)
        except DecodeError:
            return "cannot be decoded"
        for name, value in dict(values).items():
            if value != 0 and self._drops(message.name, str(name)):
                return "dropped signal"
        if self._profile.unknown_signal == "drop" and not _padded(message, set(map(str, values)), data):
            return "undescribed bits"
        return ""

    def _dropped(self, message: str, signal: str) -> bool:
        for rule in self._profile.signals:
            if _matches(message, rule.message) and _matches(signal, rule.signal):
                return rule.treat == "drop"
        selects = self._database.get_message_by_name(message).get_signal_by_name(signal).is_multiplexer
        return self._profile.unknown_signal == "drop" and not selects

    def _vin(self, seen: Seen, path: str) -> None:
        latest = self._latest[seen.id, seen.extended]
        if latest and latest[-1] == seen.data:
            return
        latest.append(seen.data or b"")
        for skipped in range(4):
            text = b"".join(data[skipped:] for data in latest)
            if any(_is_vin(match[1].decode()) for match in _VIN.finditer(text)):
                self.found(FindingKind.VIN, path, "vin")
                latest.clear()
                return

    def _places(self, data: bytes) -> None:
        self._payloads += [data[at : at + 8] for at in range(0, len(data) - 7, 4)]
        if len(self._payloads) >= _BATCH:
            self._look()

    def _look(self) -> None:
        raw = b"".join(self._payloads)
        self._payloads.clear()
        with np.errstate(invalid="ignore", over="ignore"):
            for pairs in _pairs(raw):
                possible = np.flatnonzero((np.abs(pairs) <= _LARGEST_DEG).all(axis=1))
                if len(possible) and self._tree is not None:
                    apart, _ = self._tree.query(pairs[possible], distance_upper_bound=_NEAR_DEG)
                    if np.isfinite(apart).any():
                        self.found(FindingKind.POSITION, f"before frame {self.frames}", "near the true track")


def _pairs(raw: bytes) -> Iterator["np.ndarray[tuple[int, int], np.dtype[np.float64]]"]:
    """Pairs of numbers in eight bytes as degrees: E7 and E6 integers, J1939, floats in degrees and radians."""
    for order in "<>":
        whole = np.frombuffer(raw, f"{order}i4").reshape(-1, 2).astype(np.float64)
        unsigned = np.frombuffer(raw, f"{order}u4").reshape(-1, 2).astype(np.float64)
        real = np.frombuffer(raw, f"{order}f4").reshape(-1, 2).astype(np.float64)
        for degrees in (whole / 1e7, whole / 1e6, unsigned / 1e7 - 210.0, real, np.degrees(real)):
            yield degrees
            yield degrees[:, ::-1]


def _database(dbc: bytes) -> Database:
    try:
        found = load_string(dbc.decode("latin-1"), database_format="dbc", strict=False)
    except ValueError as error:
        raise ProfileError(f"the DBC cannot be read (got {type(error).__name__})") from error
    if not isinstance(found, Database):
        raise ProfileError("the DBC describes no CAN messages")
    return found


def _group(identifier: int) -> int:
    page, form, specific = identifier >> 24 & 3, identifier >> 16 & 0xFF, identifier >> 8 & 0xFF
    return page << 16 | form << 8 | (specific if form >= 0xF0 else 0)  # noqa: PLR2004


def _never(identifier: int, *, extended: bool) -> bool:
    if not extended:
        return identifier in _NEVER_STANDARD
    diagnostic = identifier >> 16 & 0x3FF in _NEVER_FORMATS
    return diagnostic or _group(identifier) in _NEVER_GROUPS


def _matches(name: str, pattern: str) -> bool:
    literal = pattern.lower().replace("[", "[[]").replace("?", "[?]")
    return fnmatch.fnmatchcase(name.lower(), literal)


def _padded(message: Message, present: set[str], data: bytes) -> bool:
    """Whether the bits of no signal that is there are all alike, or bytes 0x55, 0xAA or 0xCC throughout."""
    described = np.zeros(8 * len(data) + 8 * 64, dtype=bool)
    for signal in message.signals:
        if signal.name in present:
            first = signal.start
            if signal.byte_order == "big_endian":
                # In the order in which bits are sent, the most significant bit of each byte first.
                first = first // 8 * 8 + 7 - first % 8
                sent = np.arange(first, first + signal.length)
                described[sent // 8 * 8 + 7 - sent % 8] = True
            else:
                described[first : first + signal.length] = True
    bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little").astype(bool)
    loose = ~described[: len(bits)]
    return any(
        (bits[loose] == np.unpackbits(np.full(len(data), byte, np.uint8), bitorder="little")[loose]).all()
        for byte in (0x00, 0xFF, 0x55, 0xAA, 0xCC)
    )


def _is_vin(text: str) -> bool:
    """A check digit that holds (ISO 3779, GB 16735), or enough variety that chance does not explain it."""
    total = sum(_VIN_VALUES[c] * w for c, w in zip(text, _VIN_WEIGHTS, strict=True)) % 11
    letters = sum(c.isalpha() for c in text)
    return (letters > 1 and text[8] == "0123456789X"[total]) or (
        letters > 2 and len(set(text)) >= _LEAST_DISTINCT  # noqa: PLR2004
    )
