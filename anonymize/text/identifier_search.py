"""Search any bytes for what identifies a vehicle or a device: VINs, and strings known beforehand.

A known string is looked for in every form in which software writes it: UTF-8 and GB 18030, UTF-16 of both
byte orders, hexadecimal, base64 at any alignment, the bytes themselves where it is hexadecimal; each in any
case and reversed, and with separators between its characters. Content is read once, however many strings
there are.
"""

import base64
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anonymize.errors import ResidualError
from anonymize.finding import Finding, FindingKind, IndexSpan
from anonymize.overlapping_blocks import Block, OverlappingBlocks
from anonymize.text.vin_words import BASE64_RUN, vins_in

DETECTOR = "identifiers@2"
MOST_FINDINGS = 1000
LEAST_CHARACTERS = 4
_LEAST_BYTES = 6
_LEAST_DIGITS = 7
_BLOCK = 1 << 20
_BEHIND = BASE64_RUN
_AHEAD = 4096
_WIDEST = 3
_CONTEXT = 8
_ANCHOR = 4
_HASH_BITS = 16
_MOST_HASH_BITS = 22
_SPARSE = 64
_HASH = np.uint32(2654435761)
_SPACED = "with separators"
_SEPARATORS = b" -_.:/"
_HEXADECIMAL = re.compile(r"(?:[0-9A-Fa-f]{2}){6,}")


def _set_of(*ranges: Iterable[int]) -> NDArray[np.bool_]:
    table = np.zeros(256, bool)
    table[list(itertools.chain(*ranges))] = True
    return table


_ALNUM = _set_of(range(48, 58), range(65, 91), range(97, 123))
_TEXT = _set_of(range(32, 127), b"\t\r\n\0", range(128, 256))
_SEPARATOR = _set_of(_SEPARATORS)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Needle:
    """A form of a known string.

    Attributes:
        kind: What a hit is.
        label: Name of the form.
        lower: The form in lower case.
        exact: The form itself where case matters, else empty.
        word: Only a word of its own in the midst of text counts.
    """

    kind: FindingKind
    label: str
    lower: bytes
    exact: bytes = b""
    word: bool = False


class Identifiers:
    """Known strings, prepared once for any number of contents.

    Args:
        vins: Vehicle identification numbers.
        device_ids: Serial numbers and other ids of vehicles, collectors and recorders (MUID, GUMI …).
        planted: Other strings that must not appear, such as stems of file names.

    A string of fewer than six bytes, or of digits only and fewer than seven, counts as a word of its own
    between printable characters only: in 100 MB of random bytes four given letters in any case appear 0.4
    times by chance.

    Raises:
        ResidualError: A string has fewer than four characters that are no separators: it would be found
        everywhere.
    """

    def __init__(
        self, *, vins: Sequence[str] = (), device_ids: Sequence[str] = (), planted: Sequence[str] = ()
    ) -> None:
        self.count = len(vins) + len(device_ids) + len(planted)
        needles: dict[tuple[bytes, bytes, bool], _Needle] = {}
        for kind, name, strings in (
            (FindingKind.VIN, "VIN", vins),
            (FindingKind.DEVICE_ID, "device id", device_ids),
            (FindingKind.METADATA, "planted string", planted),
        ):
            for number, string in enumerate(strings):
                bare = _bare(string.encode())
                if len(bare.decode("utf-8", "ignore")) < LEAST_CHARACTERS:
                    raise ResidualError(
                        f"a {name} to search for is too short (got number {number} with "
                        f"{len(string)} characters, expected at least {LEAST_CHARACTERS} besides separators)"
                    )
                for needle in _forms(kind, string):
                    needles.setdefault((needle.lower, needle.exact, needle.label == _SPACED), needle)
        self._bare = _Anchors([n for n in needles.values() if n.label == _SPACED])
        self._anchors = _Anchors([n for n in needles.values() if n.label != _SPACED])

    def search(self, chunks: Iterable[bytes]) -> tuple[Finding, ...]:
        """Search content of any size, in constant memory.

        Returns:
            At most 1000 findings; index spans in bytes, the form as label.
        """
        running = Search(self)
        for chunk in chunks:
            running.feed(chunk)
        return running.close()

    def found_in(self, block: Block) -> Iterator[tuple[int, int, FindingKind, str]]:
        """First byte, one past the last, kind and form of everything that begins in a block's own range."""
        for start, end, kind, label in self._block(block):
            if block.low <= start < block.high:
                yield block.base + start, block.base + end, kind, label

    def _block(self, block: Block) -> Iterator[tuple[int, int, FindingKind, str]]:
        text = np.frombuffer(block.content, np.uint8)
        for needle, start in self._anchors.find(block.content):
            yield start, start + len(needle.lower), needle.kind, needle.label
        kept = np.flatnonzero(~_SEPARATOR[text])
        for needle, start in self._bare.find(text[kept].tobytes()):
            first, last = int(kept[start]), int(kept[start + len(needle.lower) - 1]) + 1
            if last - first <= _WIDEST * len(needle.lower):
                yield first, last, needle.kind, needle.label
        for first, last, form in vins_in(text):
            yield first, last, FindingKind.VIN, form


class Search:
    """A search of a stream that is given piece by piece."""

    def __init__(self, identifiers: Identifiers) -> None:
        self._identifiers = identifiers
        self._blocks = OverlappingBlocks(size=_BLOCK, behind=_BEHIND, ahead=_AHEAD)
        self._found: dict[tuple[int, FindingKind], Finding] = {}

    def feed(self, chunk: bytes) -> None:
        """Search a further piece; after 1000 findings nothing more is searched."""
        for block in self._blocks.feed(chunk):
            self._search(block)

    def close(self) -> tuple[Finding, ...]:
        """Search what is left; the findings in the order of the content."""
        for block in self._blocks.rest():
            self._search(block)
        return tuple(self._found[key] for key in sorted(self._found))[:MOST_FINDINGS]

    def _search(self, block: Block) -> None:
        if len(self._found) < MOST_FINDINGS:
            for start, end, kind, label in self._identifiers.found_in(block):
                self._found.setdefault(
                    (start, kind),
                    Finding(
                        kind=kind,
                        where=IndexSpan(start=start, end=end),
                        confidence=1.0,
                        detector=DETECTOR,
                        label=label,
                    ),
                )


def find_identifiers(
    content: bytes,
    *,
    vins: Sequence[str] = (),
    device_ids: Sequence[str] = (),
    planted: Sequence[str] = (),
) -> tuple[Finding, ...]:
    """Search content in memory for identifiers of vehicles and devices.

    Args:
        content: Text or anything else.
        vins: Vehicle identification numbers; others are found by the check digit of ISO 3779 (GB 16735).
        device_ids: Serial numbers and other ids of vehicles, collectors and recorders.
        planted: Other strings that must not appear, such as stems of file names.

    Returns:
        At most 1000 findings; index spans in bytes, the form as label.

    Raises:
        ResidualError: A string has fewer than four characters that are no separators.
    """
    return Identifiers(vins=vins, device_ids=device_ids, planted=planted).search((content,))


class _Anchors:
    """Needles by four of their bytes: a multiplicative hash of every four bytes of content finds candidates.

    The more needles there are, the wider is the hash, and each is anchored where the fewest others would be: how
    fast content is read hardly depends on how many names its recording has.
    """

    def __init__(self, needles: Sequence[_Needle]) -> None:
        self._by_code: dict[int, list[tuple[int, _Needle]]] = {}
        for needle, (offset, code) in zip(needles, _anchored([n.lower for n in needles]), strict=True):
            self._by_code.setdefault(code, []).append((offset, needle))
        self._codes = np.array(sorted(self._by_code), np.uint32)
        self._shift = 32 - min(max(_HASH_BITS, (len(self._codes) * _SPARSE).bit_length()), _MOST_HASH_BITS)
        self._table = np.zeros(1 << (32 - self._shift), bool)
        self._table[_hashes(self._codes, self._shift)] = True

    def find(self, content: bytes) -> Iterator[tuple[_Needle, int]]:
        """Each needle and the byte at which it begins."""
        if not self._by_code or len(content) < _ANCHOR:
            return
        lower = content.lower()
        codes = _codes_of(lower)
        hot = np.flatnonzero(self._table[_hashes(codes, self._shift)])
        near = np.searchsorted(self._codes, codes[hot])
        hot = hot[self._codes[np.minimum(near, len(self._codes) - 1)] == codes[hot]]
        for place, code in zip(hot.tolist(), codes[hot].tolist(), strict=True):
            for offset, needle in self._by_code[code]:
                start = place - offset
                if start >= 0 and lower.startswith(needle.lower, start) and _counts(needle, content, start):
                    yield needle, start


def _anchored(needles: Sequence[bytes]) -> Iterator[tuple[int, int]]:
    """Offset and code of four bytes of each needle: varied ones, that the fewest other needles have."""
    if not needles:
        return
    codes = _codes_of(b"".join(needles))
    varied = _varied(codes)
    ends = np.cumsum([len(needle) for needle in needles])
    inside = np.ones(len(codes), bool)
    for back in range(1, _ANCHOR):
        inside[ends[:-1] - back] = False
    known, counts = np.unique(codes[inside], return_counts=True)
    shared = counts[np.minimum(np.searchsorted(known, codes), len(known) - 1)]
    # Four bytes of which three differ are rare enough in content; beyond that the fewest needles decide.
    cost = shared - np.minimum(varied, _ANCHOR - 1).astype(np.int64) * len(codes)
    for end, needle in zip(ends.tolist(), needles, strict=True):
        first = end - len(needle)
        best = first + int(np.argmin(cost[first : end - _ANCHOR + 1]))
        yield best - first, int(codes[best])


def _codes_of(content: bytes) -> NDArray[np.uint32]:
    view = np.frombuffer(content, np.uint8).data
    places = len(content) - _ANCHOR + 1
    return np.ascontiguousarray(np.ndarray((places,), "<u4", view, strides=(1,)), np.uint32)


def _varied(codes: NDArray[np.uint32]) -> NDArray[np.int64]:
    """How many different bytes each code has."""
    ordered = np.sort(codes.view(np.uint8).reshape(-1, _ANCHOR), axis=1)
    return np.asarray(1 + np.count_nonzero(np.diff(ordered, axis=1), axis=1), np.int64)


def _hashes(codes: NDArray[np.uint32], shift: int) -> NDArray[np.uint32]:
    return np.asarray((codes * _HASH) >> np.uint32(shift))


def _counts(needle: _Needle, content: bytes, start: int) -> bool:
    end = start + len(needle.lower)
    if needle.exact and not content.startswith(needle.exact, start):
        return False
    if not needle.word:
        return True
    before = np.frombuffer(content[max(start - _CONTEXT, 0) : start], np.uint8)
    after = np.frombuffer(content[end : end + _CONTEXT], np.uint8)
    if not (_TEXT[before].all() and _TEXT[after].all()):
        return False
    return not (_ALNUM[before[-1:]].any() or _ALNUM[after[:1]].any())


def _forms(kind: FindingKind, string: str) -> Iterator[_Needle]:
    for text, turned in ((string, ""), (string[::-1], "reversed ")):
        encoded = text.encode()
        digits = text.isdigit() and len(text) < _LEAST_DIGITS
        short = len(encoded) < _LEAST_BYTES or digits
        yield _Needle(kind=kind, label=f"{turned}utf-8", lower=encoded.lower(), word=short)
        for code in ("utf-16-le", "utf-16-be", *(() if text.isascii() else ("gb18030",))):
            yield _Needle(kind=kind, label=f"{turned}{code}", lower=text.encode(code, "replace").lower())
        for cased in (text, text.lower(), text.upper()):
            yield _Needle(
                kind=kind, label=f"{turned}hexadecimal", lower=cased.encode().hex().encode(), word=False
            )
        bare = _bare(encoded.lower())
        if len(bare) >= _LEAST_BYTES and not digits:
            yield _Needle(kind=kind, label=_SPACED, lower=bare)
    yield from (
        _Needle(kind=kind, label="base64", lower=core.lower(), exact=core)
        for core in _base64_cores(string.encode())
    )
    if _HEXADECIMAL.fullmatch(joined := _bare(string.encode()).decode("utf-8", "replace")):
        stored = bytes.fromhex(joined)
        for order in (stored, stored[::-1]):
            yield _Needle(kind=kind, label="stored bytes", lower=order.lower(), exact=order)


def _base64_cores(encoded: bytes) -> Iterator[bytes]:
    """The characters of base64 that depend on the string alone, for each of its three alignments."""
    for lead in range(3):
        text = base64.b64encode(bytes(lead) + encoded)
        first = -(-lead * 8 // 6)
        core = text[first : (lead + len(encoded)) * 8 // 6]
        if len(core) >= _LEAST_BYTES:
            yield core


def _bare(text: bytes) -> bytes:
    return text.translate(None, _SEPARATORS)
