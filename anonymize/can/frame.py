"""One frame of a CAN log, independent of the format it came in."""

from typing import Literal, NamedTuple

LogKind = Literal["asc", "blf"]
MAX_STANDARD_ID = 0x7FF
MAX_EXTENDED_ID = 0x1FFFFFFF
CLASSIC_BYTES = 8
FD_LENGTHS = (*range(9), 12, 16, 20, 24, 32, 48, 64)


class Frame(NamedTuple):
    """A frame.

    Attributes:
        time_ns: Nanoseconds from the start of the log.
        channel: Number of the bus as the log counts it, from 1.
        id: Identifier of 11 or 29 bits.
        extended: Whether it has 29 bits.
        data: Payload; empty for remote and error frames.
        length: Bytes of the payload; of a remote frame, those that are asked for.
        received: Whether the logger received the frame, rather than sent it.
        remote: Whether it asks for a frame.
        error: Whether it marks an error on the bus; it then has no identifier and no payload.
        fd: Whether it is a frame of CAN FD.
        bitrate_switch: Whether its payload was sent faster.
        error_state: Whether its sender was error passive.
    """

    time_ns: int
    channel: int
    id: int
    extended: bool
    data: bytes
    length: int
    received: bool = True
    remote: bool = False
    error: bool = False
    fd: bool = False
    bitrate_switch: bool = False
    error_state: bool = False
