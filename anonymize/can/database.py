"""What a DBC says of messages: which bits of a payload belong to which signal.

Read with cantools from memory; scaling is not needed, only places of bits. Payloads are taken as little-endian
integers: bit 8·k + i is bit i of byte k, which is also how a DBC numbers bits.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from cantools.database import Database, load_string
from cantools.database.can import Message
from cantools.database.can.signal import Signal
from cantools.database.errors import Error

from anonymize.errors import ProfileError

_BYTE = 8
_J1939_PDU2 = 240
_LARGEST_DBC = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalBits:
    """A signal.

    Attributes:
        name: Its name.
        mask: Its bits in the payload.
        bits: Places of its bits, the least significant first.
        selector: Whether it selects which other signals a payload holds.
        selected_by: Name of the selector that decides whether it is there; empty where it always is.
        selections: Raw values of the selector with which it is there.
    """

    name: str
    mask: int
    bits: tuple[int, ...] = field(repr=False)
    selector: bool
    selected_by: str
    selections: frozenset[int]

    def raw(self, payload: int) -> int:
        """The unsigned raw value."""
        return sum(((payload >> bit) & 1) << place for place, bit in enumerate(self.bits))


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageBits:
    """A message: its name and signals, selectors before what they select."""

    name: str
    signals: tuple[SignalBits, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CanDatabase:
    """Messages by identifier (and whether it has 29 bits), and J1939 messages by parameter group."""

    by_id: dict[tuple[int, bool], MessageBits]
    by_group: dict[int, MessageBits]

    def message(self, identifier: int, *, extended: bool) -> MessageBits | None:
        """The message of a frame; a J1939 message counts whatever its priority and source."""
        found = self.by_id.get((identifier, extended))
        return found or (self.by_group.get(parameter_group(identifier)) if extended else None)


def parameter_group(identifier: int) -> int:
    """The parameter group number in an identifier of 29 bits (SAE J1939-21)."""
    group = identifier >> 8 & 0x3FFFF
    return group if group >> 8 & 0xFF >= _J1939_PDU2 else group & 0x3FF00


def load_database(dbc: bytes) -> CanDatabase:
    """Read a DBC.

    Raises:
        ProfileError: It is no DBC, describes no message, or describes an identifier twice.
    """
    by_id: dict[tuple[int, bool], MessageBits] = {}
    by_group: dict[int, MessageBits] = {}
    for message in parse_dbc(dbc).messages:
        bits = MessageBits(name=message.name, signals=_signals(message))
        key = (message.frame_id, message.is_extended_frame)
        if key in by_id:
            raise ProfileError(f"the DBC describes an identifier twice (got {message.frame_id:#x})")
        by_id[key] = bits
        if message.protocol == "j1939":
            by_group.setdefault(parameter_group(message.frame_id), bits)
    if not by_id:
        raise ProfileError("the DBC describes no message (got 0, expected at least 1)")
    return CanDatabase(by_id=by_id, by_group=by_group)


def parse_dbc(dbc: bytes) -> Database:
    """Read a DBC as cantools does; overlapping signals are accepted, since each bit is judged by itself.

    Raises:
        ProfileError: It is no DBC.
    """
    if len(dbc) > _LARGEST_DBC:
        raise ProfileError(f"the DBC is too large (got {len(dbc)} bytes, expected at most {_LARGEST_DBC})")
    try:
        # Names are ASCII; comments and units may be in any code page and are not used.
        return load_string(dbc.decode("latin-1"), database_format="dbc", strict=False)  # type: ignore[return-value]
    except (Error, ValueError, KeyError) as error:
        raise ProfileError(f"the DBC cannot be read (got {type(error).__name__})") from error


def _signals(message: Message) -> tuple[SignalBits, ...]:
    named = {signal.name: _bits(signal) for signal in message.signals}
    ordered: list[SignalBits] = []
    placed: set[str] = set()
    while len(ordered) < len(named):
        ready = [s for s in named.values() if s.name not in placed and s.selected_by in placed | {""}]
        if not ready:
            left = sorted(set(named) - placed)
            raise ProfileError(f"message {message.name!r}: signals select one another (got {left[:4]})")
        ordered += ready
        placed |= {s.name for s in ready}
    return tuple(ordered)


def _bits(signal: Signal) -> SignalBits:
    places = _places(signal.start, signal.length, little=signal.byte_order == "little_endian")
    return SignalBits(
        name=signal.name,
        mask=sum(1 << place for place in places),
        bits=tuple(places),
        selector=signal.is_multiplexer,
        selected_by=signal.multiplexer_signal or "",
        selections=frozenset(signal.multiplexer_ids or ()),
    )


def _places(start: int, length: int, *, little: bool) -> Sequence[int]:
    if little:
        return range(start, start + length)
    # A big-endian signal starts at its most significant bit and runs down each byte, then on to the next.
    places, at = [], start
    for _ in range(length):
        places.append(at)
        at = at - 1 if at % _BYTE else at + 2 * _BYTE - 1
    return places[::-1]
