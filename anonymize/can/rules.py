"""What happens to each frame of a CAN log: which bits of its payload survive, or why none does.

1. Diagnostics and transport protocols go, DBC or not: they carry VIN, serial numbers and anything else.
2. So do J1939 and NMEA 2000 groups that identify the vehicle or its driver, or tell place or date.
3. A read-out of the VIN goes on whatever identifier it comes, with its consecutive frames.
4. Frames that the DBC does not describe are dropped, or stop the log, as the profile says.
5. Of the others the bits of signals that the profile keeps survive. All other bits are set to 0, the least raw
   value; a payload of which nothing survives drops the frame, and so does a multiplexer that the profile drops or
   whose value the DBC does not describe. Bits of no signal count as a signal that no rule names, but for padding:
   bits that all have the same value, or bytes 0x55, 0xAA or 0xCC throughout.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Literal

from anonymize.can.database import CanDatabase, MessageBits, SignalBits, parameter_group
from anonymize.can.frame import Frame
from anonymize.profile import CanProfile

SignalTreatment = Literal["keep", "drop", "motion"]

# OBD and UDS: functional and physical requests and answers (ISO 15765-4), 11 and 29 bits.
_DIAGNOSTIC_IDS = frozenset({0x7DF, *range(0x7E0, 0x7F0)})
_DIAGNOSTIC_FORMATS = frozenset({0xDA, 0xDB, 0xCD, 0xCE})
_TRANSPORT_GROUPS = frozenset({0xEC00, 0xEB00, 0xC800, 0xC700})
_IDENTITY_GROUPS = {
    65260: "vin",
    65259: "component",
    64965: "component",
    65242: "component",
    65131: "driver",
    126996: "component",
}
_PLACE_GROUPS = {
    65267: "position",
    65256: "position",
    65254: "date",
    65248: "distance",
    65217: "distance",
    129025: "position",
    129026: "position",
    129027: "position",
    129029: "position",
    129033: "date",
    126992: "date",
    127250: "position",
    128275: "distance",
}
_VIN_ANSWERS = (b"\x62\xf1\x90", b"\x49\x02\x01")
_SINGLE, _FIRST, _CONSECUTIVE = 0, 1, 2
_VIN_BYTES = 17
_PADDING = (0x00, 0xFF, 0x55, 0xAA, 0xCC)
_CACHED = 65536


class Fate(StrEnum):
    """What became of a frame, and why."""

    KEPT = "kept"
    REDACTED = "redacted"
    DIAGNOSTICS = "diagnostics"
    TRANSPORT = "transport"
    VIN = "vin"
    COMPONENT = "component"
    DRIVER = "driver"
    POSITION = "position"
    DATE = "date"
    DISTANCE = "distance"
    UNKNOWN = "unknown"
    NOTHING_KEPT = "nothing_kept"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalPlan:
    """A signal of a message and its treatment."""

    message: str
    signal: str
    treat: SignalTreatment


class FrameRules:
    """The rules over one log, frame by frame in its order; it remembers read-outs that span frames."""

    def __init__(self, database: CanDatabase, profile: CanProfile) -> None:
        self._database, self._profile = database, profile
        self._rules = [(_glob(r.message), _glob(r.signal), r.treat) for r in profile.signals]
        self._plans: dict[str, dict[str, SignalTreatment]] = {}
        self._reading: dict[tuple[int, int, bool], int] = {}
        self._masks = lru_cache(maxsize=_CACHED)(self._mask)

    def treat(self, frame: Frame) -> tuple[Fate, Frame | None]:
        """The frame as it is kept, or None, and why."""
        if frame.error:
            return Fate.KEPT, frame
        fate = always_dropped(frame) or self._vin(frame)
        if fate:
            return fate, None
        message = self._database.message(frame.id, extended=frame.extended)
        return (Fate.UNKNOWN, None) if message is None else self._described(frame, message)

    def _described(self, frame: Frame, message: MessageBits) -> tuple[Fate, Frame | None]:
        if frame.remote:
            kept = any(t != "drop" for t in self.plan(message).values())
            return (Fate.KEPT, frame) if kept else (Fate.NOTHING_KEPT, None)
        payload = int.from_bytes(frame.data, "little")
        left, useful = self._left(message, payload, 8 * len(frame.data))
        if not useful:
            return Fate.NOTHING_KEPT, None
        if left == payload:
            return Fate.KEPT, frame
        return Fate.REDACTED, frame._replace(data=left.to_bytes(len(frame.data), "little"))

    def plan(self, message: MessageBits) -> dict[str, SignalTreatment]:
        """The treatment of each signal of a message."""
        if message.name not in self._plans:
            self._plans[message.name] = {s.name: self._treatment(message.name, s) for s in message.signals}
        return self._plans[message.name]

    def plans(self) -> tuple[SignalPlan, ...]:
        """The treatment of every signal of all messages that were met so far."""
        return tuple(
            SignalPlan(message=message, signal=signal, treat=treat)
            for message, signals in sorted(self._plans.items())
            for signal, treat in sorted(signals.items())
        )

    def _treatment(self, message: str, signal: SignalBits) -> SignalTreatment:
        for of_message, of_signal, treat in self._rules:
            if of_message.fullmatch(message.lower()) and of_signal.fullmatch(signal.name.lower()):
                return treat
        # What selects other signals says nothing by itself, and without it they cannot be read.
        return "keep" if signal.selector else self._profile.unknown_signal

    def _left(self, message: MessageBits, payload: int, bits: int) -> tuple[int, bool]:
        selected = tuple(s.raw(payload) for s in message.signals if s.selector)
        kept, described, useful = self._masks(message, selected)
        whole = (1 << bits) - 1
        loose = whole & ~described
        if self._profile.unknown_signal == "keep" or _is_padding(payload & loose, loose, bits):
            kept |= loose
        return payload & kept & whole, bool(useful & whole)

    def _mask(self, message: MessageBits, selected: tuple[int, ...]) -> tuple[int, int, int]:
        """Bits that survive, that any signal describes, and that are worth a frame."""
        values = dict(zip((s.name for s in message.signals if s.selector), selected, strict=True))
        plan = self.plan(message)
        there = {
            s.name for s in message.signals if not s.selected_by or values.get(s.selected_by) in s.selections
        }
        present = [
            s for s in message.signals if s.name in there and (not s.selected_by or s.selected_by in there)
        ]
        known = {s.name: [c.selections for c in message.signals if c.selected_by == s.name] for s in present}
        if any(
            s.selector and (plan[s.name] == "drop" or not any(values[s.name] in k for k in known[s.name]))
            for s in present
        ):
            # Without its selector a payload would be read as another one; with an unknown one it is unknown.
            return 0, 0, 0
        kept = dropped = useful = 0
        for signal in present:
            if plan[signal.name] == "drop":
                dropped |= signal.mask
                continue
            kept |= signal.mask
            useful |= 0 if signal.selector else signal.mask
        return kept & ~dropped, kept | dropped, useful & ~dropped

    def _vin(self, frame: Frame) -> Fate | None:
        """Follow a read-out of the VIN over ISO-TP (ISO 15765-2) on any identifier."""
        key = (frame.channel, frame.id, frame.extended)
        step = frame.data[0] >> 4 if frame.data else -1
        if step == _CONSECUTIVE and key in self._reading:
            self._reading[key] -= len(frame.data) - 1
            if self._reading[key] <= 0:
                del self._reading[key]
            return Fate.VIN
        self._reading.pop(key, None)
        if step == _FIRST and _answers(frame.data[2:]):
            length = int.from_bytes(frame.data[:2]) & 0xFFF
            if length >= _VIN_BYTES:
                self._reading[key] = length - len(frame.data[2:])
                return Fate.VIN
        # A single frame of CAN FD can hold a whole VIN behind a length of its own.
        if frame.fd and step == _SINGLE and (_answers(frame.data[1:]) or _answers(frame.data[2:])):
            return Fate.VIN
        return None


def always_dropped(frame: Frame) -> Fate | None:
    """Why a frame goes whatever a DBC says; None where it may stay."""
    if not frame.extended:
        return Fate.DIAGNOSTICS if frame.id in _DIAGNOSTIC_IDS else None
    if frame.id >> 16 & 0xFF in _DIAGNOSTIC_FORMATS and frame.id >> 24 & 0x3 == 0:
        return Fate.DIAGNOSTICS
    group = parameter_group(frame.id)
    if group in _TRANSPORT_GROUPS:
        return Fate.TRANSPORT
    named = _IDENTITY_GROUPS.get(group) or _PLACE_GROUPS.get(group)
    return Fate(named) if named else None


def _answers(content: bytes) -> bool:
    return content.startswith(_VIN_ANSWERS)


def _is_padding(value: int, loose: int, bits: int) -> bool:
    if not loose or value in {0, loose}:
        return True
    size = bits // 8
    return any(value == int.from_bytes(bytes([byte]) * size) & loose for byte in _PADDING)


def _glob(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in pattern.lower().split("*")), re.DOTALL)
