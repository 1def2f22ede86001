"""What a sequencer and its clients say to each other: one JSON object a line, RFC 8785 where a client writes it.

A client says ``{"event": …, "id": n}``, with ``detail`` where the entry has one, or ``{"checkpoint": true,
"id": n}``. The sequencer says ``{"hello": …}`` once, ``{"id": n, …}`` with a receipt, a note or an error for each
message, and ``{"stopped": why}`` once its writer takes no further entry. Nothing but JSON of these forms is read.
"""

import json
import re
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from audit.batch import Receipt, SealedDetail
from audit.errors import (
    InvalidEventError,
    LedgerCorruptError,
    LedgerError,
    LedgerUnavailableError,
    MessageError,
    WitnessError,
)
from audit.events import MAX_INTEGER, Event
from audit.leaf import encode_event, event_of, format_time, parse_time

VERSION: Final = 1
"""Version of the messages; a client and a sequencer of different versions do not speak."""

MAX_LINE_BYTES: Final = 2 * 1024 * 1024
"""Longest message with its newline, in bytes: the longest detail in base64, and room for the longest event."""

_MAX_WHY: Final = 500
_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)
_ERRORS: Final[dict[str, type[LedgerError]]] = {
    kind.__name__: kind
    for kind in (InvalidEventError, LedgerUnavailableError, LedgerCorruptError, WitnessError)
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """An entry that a client wants appended, under the number that the answer will carry."""

    number: int
    event: Event
    detail: SealedDetail | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointRequest:
    """A client's wish for a checkpoint over all that is durable."""

    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """What a sequencer says first: whose ledger it writes."""

    vkey: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """The sequencer's writer takes no further entry."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer to the message of this number: one of receipt, note and error."""

    number: int
    receipt: Receipt | None = None
    note: str | None = None
    error: LedgerError | None = None


def submission_body(event: Event, detail: SealedDetail | None) -> str:
    """The message that submits an entry, but for its number; ``numbered`` completes it.

    The number comes last in the canonical order of members, so that whoever numbers messages under a lock need
    not encode them there.
    """
    members = f'"event":{encode_event(event)}'
    if detail is not None:
        sealed = b64encode(detail.sealed).decode("ascii")
        members = (
            f'"detail":{{"digest":"{detail.digest}","sealed":"{sealed}","subject":{json.dumps(detail.subject)}}}'
            f",{members}"
        )
    return f"{{{members}"


CHECKPOINT_BODY: Final = '{"checkpoint":true'
"""The message that asks for a checkpoint, but for its number."""


def numbered(body: str, number: int) -> bytes:
    """A whole message with its newline."""
    return f'{body},"id":{number}}}\n'.encode("ascii")


def read_request(line: bytes) -> Submission | CheckpointRequest:
    """Read a client's message strictly.

    1. It is one JSON object of the members of one form.
    2. The event, and the detail where there is one, hold what they may hold.
    3. Writing what was read gives the same bytes: nothing was doubled, left over or spelt otherwise.

    Raises:
        MessageError: A step fails.
    """
    record = _object(line)  # 1
    number = _number(record)
    request: Submission | CheckpointRequest
    if record.keys() == {"checkpoint", "id"}:
        body, request = CHECKPOINT_BODY, CheckpointRequest(number=number)
    elif record.keys() - {"detail"} == {"event", "id"}:
        request = _submission(record, number)  # 2
        body = submission_body(request.event, request.detail)
    else:
        raise MessageError(f"message of no known form (got members {sorted(record)[:8]})")
    if numbered(body, number) != line:  # 3
        raise MessageError(f"message {number} is not in canonical form")
    return request


def hello(vkey: str) -> bytes:
    """The sequencer's first message."""
    return _line({"hello": {"v": VERSION, "vkey": vkey}})


def stopped(cause: BaseException) -> bytes:
    """The message that the writer takes no further entry."""
    return _line({"stopped": str(cause)[:_MAX_WHY]})


def receipt_line(number: int, receipt: Receipt) -> bytes:
    """The acknowledgement of an entry."""
    return (
        f'{{"hash":"{receipt.leaf_hash}","id":{number},"index":{receipt.index},'
        f'"time":"{format_time(receipt.time)}"}}\n'
    ).encode("ascii")


def note_line(number: int, note: str) -> bytes:
    """The answer to a wish for a checkpoint."""
    return _line({"id": number, "note": note})


def error_line(number: int, error: BaseException) -> bytes:
    """The refusal of a message; an error that is none of the ledger's becomes ``LedgerUnavailableError``."""
    kinds = [name for name, kind in _ERRORS.items() if isinstance(error, kind)]
    name = kinds[0] if kinds else LedgerUnavailableError.__name__
    return _line({"error": name, "id": number, "why": str(error)[:_MAX_WHY]})


def read_hello(line: bytes) -> Hello:
    """Read a sequencer's first message.

    Raises:
        MessageError: It is another message, or of another version.
    """
    value = _object(line).get("hello")
    if not isinstance(value, dict) or value.get("v") != VERSION or not isinstance(value.get("vkey"), str):
        raise MessageError(f"no greeting of version {VERSION} (got {line[:200]!r})")
    return Hello(vkey=value["vkey"])


def read_answer(line: bytes) -> Answer | Stopped:
    """Read any later message of a sequencer.

    Raises:
        MessageError: It has another form.
    """
    record = _object(line)
    if record.keys() == {"stopped"}:
        return Stopped(why=str(record["stopped"]))
    number = _number(record)
    match record:
        case {"hash": str(digest), "index": int(index), "time": str(time)} if len(record) == 4:  # noqa: PLR2004 (with the number)
            return Answer(number=number, receipt=_receipt(digest, index, time))
        case {"note": str(note)} if len(record) == 2:  # noqa: PLR2004 (with the number)
            return Answer(number=number, note=note)
        case {"error": str(name), "why": str(why)} if len(record) == 3 and name in _ERRORS:  # noqa: PLR2004 (with the number)
            return Answer(number=number, error=_ERRORS[name](why))
    raise MessageError(f"answer of no known form (got {line[:200]!r})")


def _receipt(digest: str, index: int, time: str) -> Receipt:
    if _HASH.fullmatch(digest) is None or isinstance(index, bool) or not 0 <= index <= MAX_INTEGER:
        raise MessageError(f"no receipt (got hash {digest[:80]!r}, index {index!r})")
    try:
        return Receipt(index=index, leaf_hash=digest, time=parse_time(time))
    except ValueError as error:
        raise MessageError(f"no receipt: {error}") from error


def _submission(record: dict[str, Any], number: int) -> Submission:
    event, detail = record["event"], record.get("detail")
    if not isinstance(event, dict):
        raise MessageError(f"event of message {number} is no object (got {type(event).__name__})")
    try:
        return Submission(number=number, event=event_of(event), detail=_detail(detail))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise MessageError(f"message {number} is malformed: {error!s:.{_MAX_WHY}}") from error


def _detail(value: object) -> SealedDetail | None:
    if value is None:
        return None
    match value:
        case {"digest": str(digest), "sealed": str(sealed), "subject": str(subject)}:
            return SealedDetail(subject=subject, digest=digest, sealed=b64decode(sealed, validate=True))
    raise ValueError("detail lacks digest, sealed bytes or subject")


def _object(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line, parse_float=_refuse_number, parse_constant=_refuse_number)
    except (ValueError, RecursionError) as error:
        raise MessageError(f"message is no JSON: {error!s:.{_MAX_WHY}}") from error
    if not isinstance(value, dict):
        raise MessageError(f"message is no object (got {type(value).__name__})")
    return value


def _number(record: dict[str, Any]) -> int:
    number = record.get("id")
    if type(number) is not int or not 0 < number <= MAX_INTEGER:
        raise MessageError(f"message has no number (got {number!r:.80}, expected 1 to {MAX_INTEGER})")
    return number


def _line(record: dict[str, Any]) -> bytes:
    return json.dumps(record, separators=(",", ":")).encode("ascii") + b"\n"


def _refuse_number(text: str) -> NoReturn:
    raise ValueError(f"number not permitted (got {text[:80]}, expected an integer)")
