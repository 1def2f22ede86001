"""Item names: what a name may look like before anything else is believed of the item that bears it."""

import re
import unicodedata

from anonymize.errors import AnonymizeError

MAX_PART_BYTES = 255
MAX_NAME_BYTES = 1024

_DRIVE = re.compile(r"^[A-Za-z]:")
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class UnsafeNameError(AnonymizeError):
    """The item's name could leave its folder, hide what it is or not survive another file system."""

    reason = "unsafe_name"


def check_name(name: str) -> str:
    """Return ``name`` if it is a relative, plain, normalised path with ``/`` between its parts.

    Args:
        name: As delivered, relative to the recording.

    Raises:
        UnsafeNameError: One of the numbered checks fails; the message carries the name with every character
            escaped that is not printable.
    """
    # 1. It is text that a file system can store.
    _require(bool(name), name, "a non-empty name")
    _require(_encodable(name), name, "valid Unicode without lone surrogates")
    # 2. Nothing hides in it: no control, no bidirectional override, one normal form.
    _require(all(unicodedata.category(c) != "Cc" for c in name), name, "no control characters")
    _require(_BIDI.isdisjoint(name), name, "no bidirectional controls")
    _require(unicodedata.is_normalized("NFC", name), name, "Unicode normal form C")
    # 3. It is relative on every system.
    _require("\\" not in name, name, "'/' between parts, no backslash")
    _require(not name.startswith("/"), name, "a relative path")
    _require(_DRIVE.match(name) is None, name, "no drive letter")
    # 4. Its parts stay inside and are of a length that every store takes.
    parts = name.split("/")
    _require(all(part not in {"", ".", ".."} for part in parts), name, "no empty part, '.' or '..'")
    _require(len(name.encode()) <= MAX_NAME_BYTES, name, f"at most {MAX_NAME_BYTES} bytes")
    longest = max(len(part.encode()) for part in parts)
    _require(longest <= MAX_PART_BYTES, name, f"at most {MAX_PART_BYTES} bytes per part")
    return name


def _encodable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _require(holds: bool, name: str, expected: str) -> None:  # noqa: FBT001 - a claim about the name
    if not holds:
        shown = name if len(name) <= MAX_PART_BYTES else name[:MAX_PART_BYTES] + "…"
        raise UnsafeNameError(f"item name is not safe (got {shown!a}, expected {expected})")
