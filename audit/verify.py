"""Stand-alone verifier of ledger exports and archives: this file, the standard library and ``cryptography`` only.

Usage: ``python -m audit.verify EXPORT --vkey VKEY`` or ``python verify.py EXPORT --key-file FILE [--json]``, with
``--witness VKEY`` for each witness that is trusted and ``--quorum N`` for how many of them are needed (all).
Exit status: 0 the export verifies, 1 it does not, 2 the call was wrong.

1. The verifier key is well-formed (C2SP signed-note, Ed25519).
2. The header is canonical, of a known format, and names the given key.
3. The checkpoint is validly signed by the given key and states the key's origin (C2SP tlog-checkpoint); enough of
   the given witnesses cosigned it, each counted once (C2SP tlog-cosignature).
4. Each entry line is canonical, its index follows the one before and lies in the tree.
5. Each leaf is canonical JSON (RFC 8785) that says the same index.
6. Each inclusion proof leads from the leaf to the checkpoint's root (RFC 9162, 2.1.3.2).
7. Times never go back, and an outcome settles an earlier entry.
8. The footer is the last line; it states the number of entries and the SHA-256 of all bytes before it.
9. The footer's statement carries a valid signature of the given key over both.
10. A complete export holds every entry of the tree, and their recomputed root is the checkpoint's.
11. Intents that nothing settled are listed, for a complete export; they are findings, not errors.

Where EXPORT is a directory it is an archive of tiles (C2SP tlog-tiles): its checkpoint is checked as in 3., its
leaves as in 5. and 7., every tile of hashes that the tree needs against them, and the root as in 10.

This code shares nothing with the ledger that writes exports, so an error in one does not hide in the other.
"""

import argparse
import base64
import binascii
import hashlib
import importlib
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

FORMAT = "fleetgate-ledger-export"
VERSION = 1
ALGORITHM_ED25519 = 1
ALGORITHM_COSIGNATURE = 4
MAX_LINE_BYTES = 4 * 1024 * 1024

_HEADER_FIELDS = {"format", "version", "origin", "vkey", "checkpoint", "filter"}
_ENTRY_FIELDS = {"index", "leaf", "proof"}
_FOOTER_FIELDS = {"count", "digest", "statement"}
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z", re.ASCII)
_SIGNATURE_MARK = "\u2014 "
_MAX_INTEGER = 2**53 - 1
_TILE = 256
_SM2_PREFIX = b"\xfffleetgate/sm2sm3"
_SM2_NAME = "/sm2"
_SM2_POINT = 65


class BadExportError(Exception):
    """The export does not verify; ``index`` is the first bad entry, None for header, footer or tree."""

    def __init__(self, reason: str, index: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.index = index


class BadKeyError(ValueError):
    """The verifier key is malformed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """An Ed25519 verifier key of a signed note."""

    name: str
    key_hash: bytes
    public: bytes
    vkey: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something in a verified export that a reader should look at."""

    index: int
    finding: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedExport:
    """An export whose every line was checked.

    Args:
        origin: Name of the ledger.
        size: Entries in the tree of the checkpoint.
        root: Root hash, hex.
        count: Entries in the export.
        complete: Whether the export holds the whole tree.
        filter: Criteria of a filtered export, as its writer states and signs them.
        findings: Intents that nothing settled, where the export is complete.
        witnesses: POSIX seconds at which each given witness cosigned the checkpoint, by its name.
        note: The checkpoint.
    """

    origin: str
    size: int
    root: str
    count: int
    complete: bool
    filter: dict[str, Any] | None
    findings: tuple[Finding, ...]
    witnesses: dict[str, int] = field(default_factory=dict)
    note: str = ""


def parse_vkey(text: str, algorithm: int = ALGORITHM_ED25519) -> Key:
    """Read ``name+hash+base64`` (signed-note, Ed25519 or its cosignatures); raises ``BadKeyError``."""
    parts = text.strip().split("+", 2)
    if len(parts) != 3:  # noqa: PLR2004 - name, hash, key
        raise BadKeyError(f"verifier key is malformed (got {text!r}, expected name+hash+base64)")
    name, hash_hex, encoded = parts
    try:
        blob = base64.b64decode(encoded.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as exc:
        raise BadKeyError(f"verifier key holds no base64 (got {encoded!r})") from exc
    if len(blob) != 33 or blob[0] != algorithm or not name or " " in name:  # noqa: PLR2004 - algorithm, key
        raise BadKeyError(f"verifier key is no Ed25519 key of algorithm {algorithm} (got {text!r})")
    key_hash = hashlib.sha256(name.encode() + b"\n" + blob).digest()[:4]
    if key_hash.hex() != hash_hex:
        raise BadKeyError(f"verifier key has the wrong hash (got {hash_hex!r}, expected {key_hash.hex()!r})")
    return Key(name=name, key_hash=key_hash, public=blob[1:], vkey=text.strip())


def verify_export(
    stream: BinaryIO, vkey: str, *, witnesses: Sequence[str] = (), quorum: int | None = None
) -> VerifiedExport:
    """Verify an export line by line, in constant memory but for open intents.

    Args:
        stream: The export.
        vkey: The ledger's verifier key, got by a way that does not pass the gateway.
        witnesses: Verifier keys of the witnesses that are trusted.
        quorum: How many of them must have cosigned the checkpoint; None for all.

    Raises:
        BadKeyError: if a key is malformed or given twice, or the quorum is impossible.
        BadExportError: at the first thing that does not verify.
    """
    # 1.
    key = parse_vkey(vkey)
    trusted = _parse_witnesses(witnesses, quorum)
    lines = _Lines(stream)
    # 2. and 3.
    header, size, root = _check_header(lines.next(), key)
    times = _check_witnesses(header["checkpoint"], trusted, len(trusted) if quorum is None else quorum)
    chain = _Chain(size, root)
    while (record := lines.next()).keys() != _FOOTER_FIELDS:
        # 4. to 7.
        chain.add(record)
        lines.seal()
    # 8. and 9.
    _check_footer(record, chain.count, lines.digest(), key)
    lines.expect_end()
    complete = header["filter"] is None
    if complete:
        # 10.
        chain.check_complete()
    # 11.
    open_intents = sorted(chain.open_intents.items()) if complete else []
    return VerifiedExport(
        origin=key.name,
        size=size,
        root=root.hex(),
        count=chain.count,
        complete=complete,
        filter=header["filter"],
        findings=tuple(
            Finding(index=index, finding=f"intent {kind} never settled") for index, kind in open_intents
        ),
        witnesses=times,
        note=header["checkpoint"],
    )


def verify_archive(
    directory: Path, vkey: str, *, witnesses: Sequence[str] = (), quorum: int | None = None
) -> VerifiedExport:
    """Verify an archive of tiles from its leaves up. See :func:`verify_export`.

    Raises:
        BadKeyError: if a key is malformed or given twice, or the quorum is impossible.
        BadExportError: at the first thing that is missing or does not verify.
    """
    key = parse_vkey(vkey)
    note = _read(directory / "checkpoint").decode("utf-8", errors="replace")
    size, root, times = open_checkpoint(note, vkey, witnesses=witnesses, quorum=quorum)
    chain = _Chain(size, root)
    # The hashes of each level whose tile is not complete yet, leaves first.
    levels: list[list[bytes]] = [[] for _ in range(8)]
    counts = [0] * 8
    for first in range(0, size, _TILE):
        width = min(_TILE, size - first)
        for index, leaf in enumerate(_leaves(directory, first // _TILE, width), first):
            levels[0].append(chain.add_leaf(index, leaf))
        for level in range(8):
            if len(levels[level]) < _TILE:
                break
            _check_tile(directory, level, counts[level], levels[level])
            if level + 1 < len(levels):
                levels[level + 1].append(_subtree(levels[level]))
            levels[level] = []
            counts[level] += 1
    for level, hashes in enumerate(levels):
        if hashes:
            _check_tile(directory, level, counts[level], hashes)
    chain.check_complete()
    open_intents = sorted(chain.open_intents.items())
    return VerifiedExport(
        origin=key.name,
        size=size,
        root=root.hex(),
        count=chain.count,
        complete=True,
        filter=None,
        findings=tuple(Finding(index=i, finding=f"intent {kind} never settled") for i, kind in open_intents),
        witnesses=times,
        note=note,
    )


def open_checkpoint(
    note: str, vkey: str, *, witnesses: Sequence[str] = (), quorum: int | None = None
) -> tuple[int, bytes, dict[str, int]]:
    """Size and root that a checkpoint states, and when each witness cosigned it, by its name.

    Raises:
        BadKeyError: if a key is malformed or given twice, or the quorum is impossible.
        BadExportError: if it is not signed by the key, or too few of the witnesses cosigned it.
    """
    trusted = _parse_witnesses(witnesses, quorum)
    size, root = _open_checkpoint(note, parse_vkey(vkey))
    times = _check_witnesses(note, trusted, len(trusted) if quorum is None else quorum)
    return size, root, times


def check_sm2(note: str, sm2_vkey: str | None) -> str | None:
    """What the SM2 line of a checkpoint is worth to this reader.

    Returns:
        ``verified``; ``not checked`` where no key was given, or ``verify_sm2.py`` does not lie beside this file;
        None where the checkpoint has none and no key was given.

    Raises:
        BadKeyError: if the key is malformed.
        BadExportError: if no line is of the given key, or one does not verify.
    """
    text, _, block = note.rpartition("\n\n")
    lines = [line.removeprefix(_SIGNATURE_MARK).split(" ") for line in block[:-1].split("\n")]
    blobs = [(name, _base64(encoded, "signature")) for name, encoded in lines]
    if sm2_vkey is None:
        return "not checked" if any(name.endswith(_SM2_NAME) for name, _ in blobs) else None
    name, point, key_hash = _parse_sm2(sm2_vkey)
    own = [blob[4:] for named, blob in blobs if (named, blob[:4]) == (name, key_hash)]
    if not own:
        raise BadExportError(f"checkpoint is not signed by the given SM2 key ({name}+{key_hash.hex()})")
    verify_sm2 = _sm2_verifier()
    if verify_sm2 is None:
        return "not checked"
    for signature in own:
        try:
            verify_sm2(point, signature, f"{text}\n".encode())
        except ValueError as exc:
            raise BadExportError(f"checkpoint's SM2 signature does not verify: {exc}") from exc
    return "verified"


def _parse_sm2(text: str) -> tuple[str, bytes, bytes]:
    """Name, public point and key hash of an SM2 verifier key."""
    name, _, rest = text.strip().partition("+")
    hash_hex, _, encoded = rest.partition("+")
    try:
        blob = base64.b64decode(encoded.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as exc:
        raise BadKeyError(f"verifier key holds no base64 (got {encoded!r})") from exc
    if not name or not blob.startswith(_SM2_PREFIX) or len(blob) != len(_SM2_PREFIX) + _SM2_POINT:
        raise BadKeyError(f"verifier key is no SM2 key (got {text!r})")
    key_hash = hashlib.sha256(name.encode() + b"\n" + blob).digest()[:4]
    if key_hash.hex() != hash_hex:
        raise BadKeyError(f"verifier key has the wrong hash (got {hash_hex!r}, expected {key_hash.hex()!r})")
    return name, blob[len(_SM2_PREFIX) :], key_hash


def _sm2_verifier() -> Callable[[bytes, bytes, bytes], None] | None:
    """The verifier of SM2 signatures; None where its file was not copied beside this one."""
    for module in ("audit.verify_sm2", "verify_sm2"):
        try:
            found: Callable[[bytes, bytes, bytes], None] = importlib.import_module(module).verify_sm2
        except ImportError:
            continue
        return found
    return None


def check_proved(index: int, leaf: str, proof: list[str], size: int, root: bytes) -> dict[str, Any]:
    """What a leaf says, base64 as exports write it, once its proof leads to the root.

    Raises:
        BadExportError: if it does not, or the leaf says another index.
    """
    content = _base64(leaf, "leaf")
    body = _body(content, index)
    if not 0 <= index < size:
        raise BadExportError(f"index outside the tree (got {index}, expected below {size})", index)
    leaf_hash = hashlib.sha256(b"\x00" + content).digest()
    found = _root_from_inclusion(leaf_hash, index, size, _hashes(proof))
    if found != root:
        raise BadExportError(
            f"inclusion proof leads elsewhere (got {found.hex()}, expected {root.hex()})", index
        )
    return body


def archived_leaves(directory: Path, size: int) -> Iterator[tuple[int, bytes]]:
    """Index and leaf of each entry of an archive, which :func:`verify_archive` checks.

    Raises:
        BadExportError: if a bundle of entries is missing or cut off.
    """
    for first in range(0, size, _TILE):
        yield from enumerate(_leaves(directory, first // _TILE, min(_TILE, size - first)), first)


class Tree:
    """The root of a tree that grows by one leaf's hash at a time (RFC 9162, 2.1.1)."""

    def __init__(self) -> None:
        self._peaks: list[tuple[int, bytes]] = []

    def add(self, current: bytes) -> None:
        """Take the next leaf's hash."""
        level = 0
        while self._peaks and self._peaks[-1][0] == level:
            current = _node_hash(self._peaks.pop()[1], current)
            level += 1
        self._peaks.append((level, current))

    def root(self) -> bytes:
        """The root of what was taken."""
        root = hashlib.sha256().digest()
        for position, (_, peak) in enumerate(reversed(self._peaks)):
            root = peak if position == 0 else _node_hash(peak, root)
        return root


def check_signature(public: bytes, signature: bytes, message: bytes, what: str) -> None:
    """Check an Ed25519 signature.

    Raises:
        BadExportError: if it does not verify, or the key is none.
    """
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError) as exc:
        raise BadExportError(f"signature of {what} does not verify under the given key") from exc


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise BadExportError(f"{path.name} cannot be read: {exc.strerror}") from exc


def _tile_path(directory: Path, level: str, index: int, width: int) -> Path:
    digits = f"{index:03d}"
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    parts = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    name = "/".join([*(f"x{part}" for part in parts[:-1]), parts[-1]])
    return directory / "tile" / level / (name if width == _TILE else f"{name}.p/{width}")


def _leaves(directory: Path, index: int, width: int) -> list[bytes]:
    data = _read(_tile_path(directory, "entries", index, width))
    leaves: list[bytes] = []
    at = 0
    while at < len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        if at + 2 > len(data) or end > len(data):
            raise BadExportError("an entry bundle is cut off", index * _TILE + len(leaves))
        leaves.append(data[at + 2 : end])
        at = end
    if len(leaves) != width:
        raise BadExportError(
            f"an entry bundle holds another number of entries (got {len(leaves)}, expected {width})",
            index * _TILE + len(leaves),
        )
    return leaves


def _check_tile(directory: Path, level: int, index: int, hashes: list[bytes]) -> None:
    if _read(_tile_path(directory, str(level), index, len(hashes))) != b"".join(hashes):
        raise BadExportError(
            f"tile {index} of level {level} holds other hashes than its entries give",
            index * _TILE ** (level + 1),
        )


def _subtree(hashes: list[bytes]) -> bytes:
    while len(hashes) > 1:
        hashes = [_node_hash(hashes[at], hashes[at + 1]) for at in range(0, len(hashes), 2)]
    return hashes[0]


class _Lines:
    """Canonical JSON lines; ``digest`` covers every line but the one read last."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._sha256 = hashlib.sha256()
        self._last = b""

    def next(self) -> dict[str, Any]:
        self.seal()
        line = self._stream.readline(MAX_LINE_BYTES)
        if not line:
            raise BadExportError("the export ends without its footer: it is truncated")
        if not line.endswith(b"\n"):
            raise BadExportError("a line is cut off or too long")
        self._last = line
        return canonical_object(line[:-1], "line")

    def seal(self) -> None:
        self._sha256.update(self._last)
        self._last = b""

    def digest(self) -> str:
        return self._sha256.hexdigest()

    def expect_end(self) -> None:
        if self._stream.read(1):
            raise BadExportError("something follows the footer")


class _Chain:
    """Entries in order, the root they give, and the intents that wait for an outcome."""

    def __init__(self, size: int, root: bytes) -> None:
        self._size = size
        self._root = root
        self._last_index = -1
        self._last_time = ""
        self._tree = Tree()
        self.open_intents: dict[int, str] = {}
        self.count = 0

    def add(self, record: dict[str, Any]) -> None:
        index = self._check_place(record)
        try:
            self._check_entry(record, index)
        except BadExportError as exc:
            raise BadExportError(exc.reason, index) from exc
        self._last_index = index
        self.count += 1

    def add_leaf(self, index: int, leaf: bytes) -> bytes:
        """Add the leaf of an archive, whose tree is checked as a whole; returns its hash."""
        try:
            self._check_sequence(_body(leaf, index), index)
        except BadExportError as exc:
            raise BadExportError(exc.reason, index) from exc
        leaf_hash = hashlib.sha256(b"\x00" + leaf).digest()
        self._tree.add(leaf_hash)
        self.count += 1
        return leaf_hash

    def check_complete(self) -> None:
        # 10.
        if self.count != self._size:
            raise BadExportError(f"entries are missing (got {self.count}, expected {self._size})")
        root = self._tree.root()
        if root != self._root:
            raise BadExportError(f"recomputed root differs (got {root.hex()}, expected {self._root.hex()})")

    def _check_place(self, record: dict[str, Any]) -> int:
        # 4.
        if record.keys() != _ENTRY_FIELDS:
            raise BadExportError(f"line after entry {self._last_index} is neither entry nor footer")
        index = record["index"]
        if not _is_integer(index) or not self._last_index < index < self._size:
            raise BadExportError(
                f"index out of order (got {index!r}, expected {self._last_index + 1} to {self._size - 1})"
            )
        return int(index)

    def _check_entry(self, record: dict[str, Any], index: int) -> None:
        # 5.
        leaf = _base64(record["leaf"], "leaf")
        body = _body(leaf, index)
        # 6.
        leaf_hash = hashlib.sha256(b"\x00" + leaf).digest()
        proof = _hashes(record["proof"])
        root = _root_from_inclusion(leaf_hash, index, self._size, proof)
        if root != self._root:
            raise BadExportError(
                f"inclusion proof leads elsewhere (got {root.hex()}, expected {self._root.hex()})"
            )
        # 7.
        self._check_sequence(body, index)
        self._tree.add(leaf_hash)

    def _check_sequence(self, body: dict[str, Any], index: int) -> None:
        time = body.get("time")
        if not isinstance(time, str) or _TIME.fullmatch(time) is None or time < self._last_time:
            raise BadExportError(
                f"time is malformed or goes back (got {time!r}, expected from {self._last_time!r})"
            )
        self._last_time = time
        if body.get("outcome") == "intent":
            self.open_intents[index] = str(body.get("type"))
        elif (settled := body.get("intent")) is not None:
            if not _is_integer(settled) or not 0 <= settled < index:
                raise BadExportError(f"outcome settles no earlier entry (got {settled!r})")
            self.open_intents.pop(settled, None)


def _body(leaf: bytes, index: int) -> dict[str, Any]:
    # 5.
    body = canonical_object(leaf, "leaf")
    if not _is_integer(body.get("index")) or body["index"] != index:
        raise BadExportError(f"leaf says another index (got {body.get('index')!r}, expected {index})")
    return body


def _check_header(header: dict[str, Any], key: Key) -> tuple[dict[str, Any], int, bytes]:
    # 2.
    if header.keys() != _HEADER_FIELDS:
        raise BadExportError(
            f"header has other fields (got {sorted(header)}, expected {sorted(_HEADER_FIELDS)})"
        )
    if (header["format"], header["version"]) != (FORMAT, VERSION) or not _is_integer(header["version"]):
        raise BadExportError(
            f"unknown format (got {header['format']!r} {header['version']!r}, expected {FORMAT!r} {VERSION})"
        )
    if (header["origin"], header["vkey"]) != (key.name, key.vkey):
        raise BadExportError(f"export names another key (got {header['vkey']!r}, expected {key.vkey!r})")
    if header["filter"] is not None and not isinstance(header["filter"], dict):
        raise BadExportError(f"filter is neither null nor an object (got {header['filter']!r})")
    size, root = _open_checkpoint(header["checkpoint"], key)
    return header, size, root


def _open_checkpoint(note: object, key: Key) -> tuple[int, bytes]:
    # 3.
    lines = _open_note(note, key, "checkpoint").split("\n")
    if len(lines) != 4 or lines[0] != key.name:  # noqa: PLR2004 - origin, size, root, end
        raise BadExportError(
            f"checkpoint is malformed or of another origin (got {lines[0]!r}, expected {key.name!r})"
        )
    if re.fullmatch(r"0|[1-9][0-9]{0,18}", lines[1], re.ASCII) is None:
        raise BadExportError(f"checkpoint size is no decimal number (got {lines[1]!r})")
    root = _base64(lines[2], "checkpoint root")
    if len(root) != 32:  # noqa: PLR2004 - SHA-256
        raise BadExportError(f"checkpoint root has the wrong length (got {len(root)} bytes, expected 32)")
    return int(lines[1]), root


def _check_footer(footer: dict[str, Any], count: int, digest: str, key: Key) -> None:
    # 8.
    if not _is_integer(footer["count"]) or footer["count"] != count:
        raise BadExportError(
            f"footer states another number of entries (got {footer['count']!r}, expected {count})"
        )
    if footer["digest"] != digest:
        raise BadExportError(f"footer states another digest (got {footer['digest']!r}, expected {digest!r})")
    # 9.
    text = _open_note(footer["statement"], key, "statement")
    if text != (expected := f"{FORMAT} v{VERSION}\n{key.name}\n{count}\n{digest}\n"):
        raise BadExportError(f"statement says something else (got {text!r}, expected {expected!r})")


def _open_note(note: object, key: Key, what: str) -> str:
    if not isinstance(note, str):
        raise BadExportError(f"{what} is no note (got {note!r})")
    text, separator, block = note.rpartition("\n\n")
    text += "\n"
    if not separator or not block.endswith("\n"):
        raise BadExportError(f"{what} has no signature block")
    verified = False
    for line in block[:-1].split("\n"):
        name, _, encoded = line.removeprefix(_SIGNATURE_MARK).partition(" ")
        if not line.startswith(_SIGNATURE_MARK) or not name:
            raise BadExportError(f"{what} has a malformed signature line (got {line!r})")
        blob = _base64(encoded, f"{what} signature")
        if name != key.name or blob[:4] != key.key_hash:
            continue
        try:
            Ed25519PublicKey.from_public_bytes(key.public).verify(blob[4:], text.encode())
        except InvalidSignature as exc:
            raise BadExportError(f"{what} signature does not verify under the given key") from exc
        verified = True
    if not verified:
        raise BadExportError(f"{what} is not signed by the given key ({key.name}+{key.key_hash.hex()})")
    return text


def _parse_witnesses(vkeys: Sequence[str], quorum: int | None) -> list[Key]:
    keys = [parse_vkey(vkey, ALGORITHM_COSIGNATURE) for vkey in vkeys]
    if len({key.public for key in keys}) != len(keys):
        raise BadKeyError(f"a witness is given twice (got {[key.name for key in keys]})")
    if quorum is not None and not 0 <= quorum <= len(keys):
        raise BadKeyError(f"impossible quorum (got {quorum}, expected 0 to {len(keys)})")
    return keys


def _check_witnesses(note: str, witnesses: list[Key], quorum: int) -> dict[str, int]:
    # 3.
    text, _, block = note.rpartition("\n\n")
    found: dict[str, int] = {}
    for line in block[:-1].split("\n"):
        name, _, encoded = line.removeprefix(_SIGNATURE_MARK).partition(" ")
        blob = _base64(encoded, "cosignature")
        for key in witnesses:
            if (name, blob[:4]) == (key.name, key.key_hash):
                found[name] = max(found.get(name, 0), _cosigned_at(blob[4:], f"{text}\n", key))
    if len(found) < quorum:
        raise BadExportError(
            f"too few witnesses cosigned the checkpoint (got {len(found)}, expected at least {quorum})"
        )
    return found


def _cosigned_at(signature: bytes, text: str, key: Key) -> int:
    time_s = int.from_bytes(signature[:8], "big")
    if len(signature) != 72 or time_s >= 2**63:  # noqa: PLR2004 - time and Ed25519 signature
        raise BadExportError(f"cosignature of {key.name} is malformed (got {len(signature)} bytes)")
    message = f"cosignature/v1\ntime {time_s}\n{text}".encode()
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(signature[8:], message)
    except InvalidSignature as exc:
        raise BadExportError(f"cosignature does not verify under the given key of {key.name}") from exc
    return time_s


def _root_from_inclusion(leaf_hash: bytes, index: int, size: int, proof: list[bytes]) -> bytes:
    fn, sn, current = index, size - 1, leaf_hash
    for sibling in proof:
        if sn == 0:
            raise BadExportError(f"inclusion proof is too long (got {len(proof)} hashes)")
        if fn & 1 or fn == sn:
            current = _node_hash(sibling, current)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            current = _node_hash(current, sibling)
        fn, sn = fn >> 1, sn >> 1
    if sn != 0:
        raise BadExportError(f"inclusion proof is too short (got {len(proof)} hashes)")
    return current


def _node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def canonical_object(data: bytes, what: str) -> dict[str, Any]:
    """Parse the subset of RFC 8785 that exports use: no floats, and ASCII names that sort alike.

    Raises:
        BadExportError: if it is anything else.
    """
    try:
        text = data.decode("utf-8")
        value = json.loads(text, parse_float=_refuse, parse_constant=_refuse, object_pairs_hook=_unique)
        again = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    except (ValueError, RecursionError) as exc:
        raise BadExportError(f"{what} is no canonical JSON: {exc}") from exc
    if again != text or not isinstance(value, dict):
        raise BadExportError(f"{what} is no JSON object in canonical form")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs) or not all(name.isascii() for name in record):
        raise ValueError(f"names repeat or are not ASCII (got {[name for name, _ in pairs]})")
    if any(_is_integer(value) and abs(value) > _MAX_INTEGER for value in record.values()):
        raise ValueError("an integer is outside the safe range")
    return record


def _refuse(text: str) -> Any:
    raise ValueError(f"number not permitted (got {text}, expected an integer)")


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _base64(text: object, what: str) -> bytes:
    if not isinstance(text, str):
        raise BadExportError(f"{what} is no base64 (got {text!r})")
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as exc:
        raise BadExportError(f"{what} is no base64 (got {text!r})") from exc
    if base64.b64encode(data).decode() != text:
        raise BadExportError(f"{what} is no canonical base64 (got {text!r})")
    return data


def _hashes(proof: object) -> list[bytes]:
    if not isinstance(proof, list):
        raise BadExportError(f"proof is no list (got {proof!r})")
    for item in proof:
        if not isinstance(item, str) or re.fullmatch(r"[0-9a-f]{64}", item, re.ASCII) is None:
            raise BadExportError(f"proof holds no SHA-256 hash (got {item!r})")
    return [bytes.fromhex(item) for item in proof]


@dataclass(slots=True)
class _Outcome:
    status: int
    record: dict[str, Any] = field(default_factory=dict)
    text: str = ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        vkey = options.vkey if options.key_file is None else options.key_file.read_text(encoding="utf-8")
        outcome = _judge(options.export, vkey, options.witness, options.quorum, options.sm2_vkey)
    except (BadKeyError, OSError, UnicodeDecodeError) as exc:
        sys.stderr.write(f"verify: {exc}\n")
        return 2
    sys.stdout.write((json.dumps(outcome.record, sort_keys=True) if options.json else outcome.text) + "\n")
    return outcome.status


def _judge(
    path: Path, vkey: str, witnesses: Sequence[str], quorum: int | None, sm2_vkey: str | None
) -> _Outcome:
    try:
        if path.is_dir():
            verified = verify_archive(path, vkey, witnesses=witnesses, quorum=quorum)
        else:
            with path.open("rb") as stream:
                verified = verify_export(stream, vkey, witnesses=witnesses, quorum=quorum)
        sm2 = check_sm2(verified.note, sm2_vkey)
    except BadExportError as exc:
        where = "export" if exc.index is None else f"entry {exc.index}"
        record: dict[str, Any] = {"ok": False, "index": exc.index, "reason": exc.reason}
        return _Outcome(status=1, record=record, text=f"BAD {where}: {exc.reason}")
    findings: list[Any] = [{"index": item.index, "finding": item.finding} for item in verified.findings]
    scope = "complete" if verified.complete else f"filtered by {json.dumps(verified.filter, sort_keys=True)}"
    lines = [
        f"OK {verified.count} entries of {verified.size} ({scope})",
        f"origin {verified.origin}",
        f"root {verified.root}",
        *(f"cosigned by {name} at {instant(time_s)}" for name, time_s in sorted(verified.witnesses.items())),
        *([] if sm2 is None else [f"SM2 signature of the checkpoint {sm2}"]),
        *(f"finding: entry {item.index}: {item.finding}" for item in verified.findings),
    ]
    record = {
        "ok": True,
        "origin": verified.origin,
        "size": verified.size,
        "root": verified.root,
        "count": verified.count,
        "complete": verified.complete,
        "filter": verified.filter,
        "findings": findings,
        "witnesses": {name: instant(time_s) for name, time_s in verified.witnesses.items()},
        "sm2": sm2,
    }
    return _Outcome(status=0, record=record, text="\n".join(lines))


def instant(time_s: int) -> str:
    """A time of a cosignature for people, UTC where it can be told."""
    try:
        return datetime.fromtimestamp(time_s, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return f"{time_s} s"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="verify", description="Verify an export of a Fleetgate ledger.")
    parser.add_argument(
        "export", type=Path, metavar="EXPORT", help="the export, JSON lines, or a directory of tiles"
    )
    key = parser.add_mutually_exclusive_group(required=True)
    key.add_argument("--vkey", help="verifier key, name+hash+base64")
    key.add_argument("--key-file", type=Path, metavar="F", help="file that holds the verifier key")
    parser.add_argument(
        "--witness", action="append", default=[], metavar="VKEY", help="verifier key of a witness; repeat"
    )
    parser.add_argument("--quorum", type=int, metavar="N", help="witnesses that must have cosigned (all)")
    parser.add_argument("--sm2-vkey", metavar="VKEY", help="verifier key of the checkpoint's SM2 line")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
