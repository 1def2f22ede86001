"""Where the features of a GeoJSON collection lie in its bytes, so that one at a time need be in memory."""

import json
import re
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from anonymize.errors import LimitExceededError, MalformedItemError
from anonymize.formats import strict_json

_BLOCK_BYTES = 1 << 20
_FRAME_MAX = 1 << 20
_FEATURE_MAX = 64 << 20
_STRING_MAX = 16 << 20
_KEY_BYTES = 1024
_MAX_DEPTH = 64
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|(?P<open>\\?\Z))|[\[{]|[\]}]', re.DOTALL)
_FEATURES = re.compile(rb'"features"\s*:\s*\Z')
_FIRST, _NEXT, _NONE = (re.compile(p) for p in (rb"\s*", rb"\s*,\s*", rb"\s*"))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FeatureIndex:
    """A collection: its members other than the features, and where each feature begins and ends.

    Attributes:
        frame: The members of the collection; ``features`` is empty.
        starts: Offset of each feature's first byte.
        ends: Offset after its last byte.
    """

    frame: Mapping[str, Any]
    starts: "array[int]"
    ends: "array[int]"

    def __len__(self) -> int:
        return len(self.starts)

    def read(self, file: BinaryIO, number: int) -> dict[str, Any]:
        """The feature at index ``number``.

        Raises:
            MalformedItemError: It is no JSON object, or one of more than one meaning.
            LimitExceededError: It is nested too deeply.
        """
        size = self.ends[number] - self.starts[number]
        if size > _FEATURE_MAX:
            raise LimitExceededError(
                f"feature {number}: too large (got {size} bytes, expected at most {_FEATURE_MAX})"
            )
        file.seek(self.starts[number])
        feature = strict_json.parse(file.read(size), max_depth=_MAX_DEPTH)
        if not isinstance(feature, dict):
            raise MalformedItemError(f"feature {number}: no object (got {type(feature).__name__})")
        return feature


def index_features(file: BinaryIO, *, max_features: int) -> FeatureIndex:
    """Index a FeatureCollection; a Feature or a geometry alone is taken as a collection of one.

    Raises:
        MalformedItemError: No JSON object, or no list of features between commas.
        LimitExceededError: There are too many features, or the members around them are too large.
    """
    scan = _Scan(max_features)
    for offset, token, before in _tokens(file):
        scan.take(offset, token, before)
    frame = strict_json.parse(bytes(scan.frame), max_depth=_MAX_DEPTH)
    if not isinstance(frame, dict):
        raise MalformedItemError(f"no GeoJSON object (got {type(frame).__name__})")
    if frame.get("type") != "FeatureCollection":
        if scan.starts:
            raise MalformedItemError("an object with features is a FeatureCollection (got another type)")
        size = file.seek(0, 2)
        return FeatureIndex(
            frame={"type": "FeatureCollection", "crs": frame["crs"]} if "crs" in frame else {},
            starts=array("q", [0]),
            ends=array("q", [size]),
        )
    if frame.get("features") != []:
        raise MalformedItemError("a FeatureCollection has one list of features by that name")
    return FeatureIndex(frame=frame, starts=scan.starts, ends=scan.ends)


class _Scan:
    """Follows the nesting; ``frame`` is the document without what lies between the brackets of features."""

    def __init__(self, max_features: int) -> None:
        self.frame = bytearray()
        self.starts, self.ends = array("q"), array("q")
        self._max = max_features
        self._depth = 0
        self._within = False

    def take(self, offset: int, token: bytes, before: bytes) -> None:
        """Take a token and the bytes between it and the one before; the last token is empty."""
        opens, closes = token in {b"[", b"{"}, token in {b"]", b"}"}
        if not self._within:
            self._keep(before)
            if token == b"[" and self._depth == 1 and _FEATURES.search(self.frame[-_KEY_BYTES:]):
                self._within = True
            self._keep(token)
        elif self._depth == 2:  # noqa: PLR2004 (within the list, between features)
            self._between(offset, token, before)
        self._depth += opens - closes
        if self._within and closes and self._depth == 2:  # noqa: PLR2004
            self.ends.append(offset + 1)

    def _between(self, offset: int, token: bytes, before: bytes) -> None:
        number = len(self.starts)
        if token == b"{":
            if not (_NEXT if number else _FIRST).fullmatch(before):
                raise MalformedItemError(f"feature {number}: no comma before it alone")
            if number >= self._max:
                raise LimitExceededError(f"the map holds too many features (expected at most {self._max})")
            self.starts.append(offset)
        elif token == b"]" and _NONE.fullmatch(before):
            self._within = False
            self._keep(token)
        else:
            raise MalformedItemError(f"feature {number}: no object (expected objects between commas)")

    def _keep(self, content: bytes) -> None:
        self.frame += content
        if len(self.frame) > _FRAME_MAX:
            raise LimitExceededError(
                f"the members around the features are too large (expected at most {_FRAME_MAX} bytes)"
            )


def _tokens(file: BinaryIO) -> Iterator[tuple[int, bytes, bytes]]:
    """Brackets and strings with their offset and the bytes since the token before; last an empty token."""
    file.seek(0)
    start, rest = 0, file.read(3)
    if rest == strict_json.BOM:
        start, rest = 3, b""
    while block := file.read(_BLOCK_BYTES):
        content = rest + block
        at = 0
        for token in _TOKEN.finditer(content):
            if token["open"] is not None:
                break
            yield start + token.start(), token[0], content[at : token.start()]
            at = token.end()
        start, rest = start + at, content[at:]
        if len(rest) > _STRING_MAX:
            raise LimitExceededError(f"a value is too long (expected at most {_STRING_MAX} bytes)")
    yield start + len(rest), b"", rest


def dump(value: Any) -> str:
    """JSON without spaces, as it is written to maps."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
