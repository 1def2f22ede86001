"""Which signal of which CAN message is what: a file that maps a DBC's signals to the columns of triggers."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import cantools
from cantools.database.can import Database, Message
from cantools.database.errors import Error
from jsonschema import Draft202012Validator

from pipeline.mining.errors import SignalFileError
from pipeline.mining.signals import SIGNALS
from pipeline.mining.yaml_file import YamlFileError, read_yaml

_NAME: Final = {"type": "string", "minLength": 1, "maxLength": 256}
_VALIDATOR: Final = Draft202012Validator(
    {
        "type": "object",
        "additionalProperties": False,
        "required": ["format", "version", "can"],
        "properties": {
            "format": {"const": "fleetgate-signals"},
            "version": {"type": "integer", "minimum": 1},
            "can": {
                "type": "object",
                "minProperties": 1,
                "propertyNames": {"enum": sorted(SIGNALS.keys() - {"t_s"})},
                "additionalProperties": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["message", "signal"],
                    "properties": {
                        "message": _NAME,
                        "signal": _NAME,
                        "factor": {"type": "number"},
                        "offset": {"type": "number"},
                        "absent": {"type": "array", "items": {"type": "number"}, "maxItems": 16},
                    },
                },
            },
        },
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CanColumn:
    """A column of a CAN signal.

    Attributes:
        column: The column of ``SIGNALS``.
        message: The DBC's message.
        signal: Its signal.
        factor: Physical values are multiplied by it, then ``offset`` is added.
        offset: See there.
        absent: Physical values that mean that there is none.
    """

    column: str
    message: str
    signal: str
    factor: float
    offset: float
    absent: frozenset[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class CanSignals:
    """Columns by the identifier of the frame that carries them, and how frames are decoded.

    Attributes:
        frames: By identifier and whether it is an extended one.
        digests: SHA-256 of the file of signals and of the DBC.
    """

    frames: Mapping[tuple[int, bool], tuple[Message, tuple[CanColumn, ...]]]
    digests: Mapping[str, str]


def read_signal_file(content: bytes, dbc: bytes) -> CanSignals:
    """Read a file of signals together with the DBC whose messages it names.

    Raises:
        SignalFileError: The file is malformed, the DBC cannot be read, or lacks a message or signal.
    """
    try:
        document = read_yaml(content, _VALIDATOR)
    except YamlFileError as error:
        raise SignalFileError(str(error)) from error
    database = _database(dbc)
    frames: dict[tuple[int, bool], tuple[Message, tuple[CanColumn, ...]]] = {}
    for column, member in document["can"].items():
        read = _column(column, member)
        message = _message(database, read)
        key = message.frame_id, message.is_extended_frame
        frames[key] = message, (*(frames[key][1] if key in frames else ()), read)
    digests = {"signals": sha256(content).hexdigest(), "dbc": sha256(dbc).hexdigest()}
    return CanSignals(frames=frames, digests=digests)


def _column(column: str, member: Mapping[str, Any]) -> CanColumn:
    return CanColumn(
        column=column,
        message=member["message"],
        signal=member["signal"],
        factor=float(member.get("factor", 1.0)),
        offset=float(member.get("offset", 0.0)),
        absent=frozenset(float(value) for value in member.get("absent", ())),
    )


def _database(dbc: bytes) -> Database:
    try:
        read = cantools.database.load_string(dbc.decode("utf-8"), "dbc")
    except (UnicodeDecodeError, Error, ValueError) as error:
        raise SignalFileError(f"the DBC cannot be read: {error}") from error
    if not isinstance(read, Database):
        raise SignalFileError(f"the DBC is none (got {type(read).__name__})")
    return read


def _message(database: Database, column: CanColumn) -> Message:
    try:
        message = database.get_message_by_name(column.message)
    except KeyError as error:
        raise SignalFileError(f"can.{column.column}: the DBC has no message {column.message!r}") from error
    names = sorted(signal.name for signal in message.signals)
    if column.signal not in names:
        raise SignalFileError(
            f"can.{column.column}: message {column.message!r} has no signal {column.signal!r} "
            f"(expected one of {names})"
        )
    return message
