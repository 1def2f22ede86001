"""Re-scan of a released container: no true time, no true place in any notation, no channel that must not leave."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from anonymize.containers.rules import treatment_of
from anonymize.containers.stream import Channel, Container, Message
from anonymize.containers.wire import Values, values_of
from anonymize.finding import FieldPath, Finding, FindingKind
from anonymize.formats.track import Track
from anonymize.geo.ellipsoid import FloatArray
from anonymize.geo.position_index import Notation, PositionIndex, from_earth_centred
from anonymize.geo.positions import find_positions
from anonymize.profile import Profile
from anonymize.residual import ResidualReport

Mode = Literal["LOCAL", "OFFSET", "APPROVED"]

_SCANNER = "container-messages@1"
_CLIP_TOPIC, _CLIP_SCHEMA = "/clip", "fleetgate.Clip"
_NEAR_S = 30 * 86400.0 - 3600.0
_RELATIVE_NS = 400 * 86400 * 10**9
_SAME_CLOCK_NS = 3_600_000_000_000
_CROSSING_SHARE = 0.05
_AT_ONCE = 1 << 16
_MOST_TEXT = 1 << 22
_PER_S = 1e9
_UNITS = (1.0, 1e3, 1e6, 1e9)


def scan_messages(
    container: Container,
    *,
    mode: Mode,
    reference: Track | None,
    profile: Profile,
    shown: Track | None = None,
    can: bool = False,
) -> ResidualReport:
    """Scan all messages of a released container with readers of its own (``anonymize.containers.wire``).

    1. Every channel is one that the profile lets pass in this mode. 2. No time of log, publication or message,
    nor a number that counts seconds, milli-, micro- or nanoseconds, is within 30 days of the recording's; in
    LOCAL mode all are times of less than 400 days. 3. No two neighbouring numbers name a place near the true
    track in degrees, radians, UTM, Gauss-Krueger or web mercator, no three in earth-centred metres, no text in
    any notation.

    An OFFSET or APPROVED release leads across roads that were driven in truth. Places that are ``shown`` are no
    hits; without it a channel is one when more than 5 % of its messages hold a true place.

    Args:
        container: The released container.
        mode: The release mode.
        reference: The true track; None where the recording has none.
        profile: Limits and treatments.
        shown: The displaced track of such a release.
        can: Whether frames of CAN may be there; what they hold is for ``scan_can_frames``.

    Raises:
        MalformedItemError: A message cannot be read again.
    """
    scan = _Scan(mode=mode, reference=reference, profile=profile, shown=shown, can=can)
    for channel in container.summary.channels:
        if container.summary.counts.get(channel.id, 0):
            scan.channel(channel)
    for message in container.messages():
        scan.message(message)
    return scan.report()


@dataclass(slots=True)
class _Batch:
    """Neighbouring numbers of one channel that wait to be tested, and the messages that they are of."""

    numbers: list[list[float]] = field(default_factory=list)
    count: int = 0
    messages: int = 0
    hits: Counter[str] = field(default_factory=Counter)


class _Scan:
    def __init__(
        self, *, mode: Mode, reference: Track | None, profile: Profile, shown: Track | None, can: bool
    ) -> None:
        self._mode, self._profile = mode, profile
        never = (
            {"drop", "quarantine"}
            | (set() if can else {"can"})
            | ({"position"} if mode == "LOCAL" else set())
        )
        self._never = frozenset(never)
        self._span = reference.time_span() if reference is not None else None
        self._reference = reference
        self._shown = shown is not None
        self._index = (
            PositionIndex(
                reference.lat, reference.lon, shown=(shown.lat, shown.lon) if shown is not None else None
            )
            if reference is not None
            else None
        )
        self._batches: dict[str, _Batch] = {}
        self._found: dict[tuple[FindingKind, str, str], None] = {}
        self._texts: dict[str, None] = {}
        self._text_size = 0
        self._messages = 0

    def channel(self, channel: Channel) -> None:
        if (
            channel.topic == _CLIP_TOPIC
            and channel.schema is not None
            and channel.schema.name == _CLIP_SCHEMA
        ):
            return
        treatment = treatment_of(channel, self._profile.containers)
        if treatment in self._never:
            self._hit(FindingKind.EMBEDDED_STREAM, channel.topic, f"channel to {treatment}")

    def message(self, message: Message) -> None:
        channel = message.channel
        schema = channel.schema
        values = values_of(
            message.data,
            message_encoding=channel.message_encoding,
            schema=schema.data if schema else b"",
            name=schema.name if schema else "",
        )
        self._messages += 1
        self._times(message, values)
        self._batch(channel.topic, values)
        self._text(values)

    def report(self) -> ResidualReport:
        for topic in list(self._batches):
            self._flush(topic)
        for topic, batch in self._batches.items():
            for label, count in batch.hits.items():
                strict = self._mode == "LOCAL" or self._shown
                if count > (0 if strict else _CROSSING_SHARE * batch.messages):
                    self._hit(FindingKind.POSITION, topic, label)
        self._flush_text()
        return ResidualReport(
            scanners=(_SCANNER,),
            residual=tuple(self._findings()),
            facts={"mode": self._mode, "messages": self._messages, "topics": len(self._batches)},
        )

    def _hit(self, kind: FindingKind, topic: str, label: str) -> None:
        self._found[kind, topic, label] = None

    def _findings(self) -> Iterator[Finding]:
        for kind, topic, label in sorted(self._found):
            yield Finding(
                kind=kind, where=FieldPath(path=topic), confidence=1.0, detector=_SCANNER, label=label
            )

    def _times(self, message: Message, values: Values) -> None:
        topic = message.channel.topic
        for name, times in (
            ("log", [message.log_time_ns]),
            ("publish", [message.publish_time_ns]),
            ("stamp", values.times_ns),
        ):
            for time_ns in times:
                if self._true(time_ns / _PER_S):
                    self._hit(FindingKind.TIMESTAMP, topic, f"{name} near the truth")
                elif abs(time_ns - message.log_time_ns) > _SAME_CLOCK_NS:
                    self._hit(FindingKind.TIMESTAMP, topic, f"{name} of another clock")
                elif self._mode == "LOCAL" and time_ns > _RELATIVE_NS:
                    self._hit(FindingKind.TIMESTAMP, topic, f"{name} does not run from 0")
        large = [v for v in values.numbers if v >= _NEAR_S]
        for unit in _UNITS if large else ():
            if any(self._true(value / unit) for value in large):
                self._hit(FindingKind.TIMESTAMP, topic, "number near the true time")

    def _true(self, time_s: float) -> bool:
        if self._span is None:
            return False
        return self._span[0] - _NEAR_S <= time_s <= self._span[1] + _NEAR_S

    def _batch(self, topic: str, values: Values) -> None:
        batch = self._batches.setdefault(topic, _Batch())
        batch.messages += 1
        if self._index is None or len(values.numbers) < 2:  # noqa: PLR2004 - a place has two coordinates
            return
        batch.numbers.append(values.numbers)
        batch.count += len(values.numbers)
        if batch.count >= _AT_ONCE:
            self._flush(topic)

    def _flush(self, topic: str) -> None:
        batch, index = self._batches[topic], self._index
        if index is None or not batch.numbers:
            return
        of = np.repeat(np.arange(len(batch.numbers)), [len(n) for n in batch.numbers])
        numbers = np.concatenate([np.asarray(n) for n in batch.numbers])
        whole = of[1:] == of[:-1]
        a, b = numbers[:-1], numbers[1:]
        notations = [index.degrees("degrees"), index.radians("radians"), *index.metres]
        for notation in notations:
            near = (_near(notation, a, b) | _near(notation, b, a)) & whole
            batch.hits[notation.label] += len(np.unique(of[:-1][near]))
        three = _near_earth_centred(index, numbers)
        inside = three & (of[2:] == of[:-2])
        batch.hits["earth-centred"] += len(np.unique(of[:-2][inside]))
        batch.numbers, batch.count = [], 0

    def _text(self, values: Values) -> None:
        for text in values.texts:
            if text not in self._texts:
                self._texts[text] = None
                self._text_size += len(text)
        if self._text_size > _MOST_TEXT:
            self._flush_text()

    def _flush_text(self) -> None:
        if self._reference is not None and self._texts:
            content = "\n".join(self._texts).encode()
            found = find_positions(content, lat=self._reference.lat, lon=self._reference.lon)
            for label in sorted({finding.label for finding in found}):
                self._hit(FindingKind.POSITION, "*", f"text: {label}")
        self._texts, self._text_size = {}, 0


def _near(notation: Notation, a: FloatArray, b: FloatArray) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    (a0, a1), (b0, b1) = notation.first, notation.second
    near = np.asarray((a >= a0) & (a <= a1) & (b >= b0) & (b <= b1))
    at = np.flatnonzero(near)
    if len(at):
        first, second = notation.read(a[at], b[at])
        near[at] = notation.space.near(first, second)
        at = np.flatnonzero(near)
        first, second = notation.read(a[at], b[at])
        near[at] = ~notation.space.may_show(first, second) if len(at) else near[at]
    return near


def _near_earth_centred(
    index: PositionIndex, numbers: FloatArray
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    parts = numbers[:-2], numbers[1:-1], numbers[2:]
    near = np.ones(max(len(numbers) - 2, 0), dtype=bool)
    for part, (low, high) in zip(parts, index.earth_centred, strict=True):
        near &= (part >= low) & (part <= high)
    at = np.flatnonzero(near)
    if len(at):
        lat, lon = from_earth_centred(*(part[at] for part in parts))
        known = np.flatnonzero(np.isfinite(lat) & np.isfinite(lon))
        near[at] = False
        place = lat[known], lon[known]
        near[at[known]] = index.globe.near(*place) & ~index.globe.may_show(*place)
    return near
