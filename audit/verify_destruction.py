"""Verifier of certificates of destruction: this file, two beside it, the standard library and ``cryptography``.

The two are ``verify.py`` and ``verify_sm2.py``.

Usage: ``python -m audit.verify_destruction CERTIFICATE --release-key KEY --vkey VKEY [--ledger EXPORT]``, with
``--witness VKEY`` for each witness that is trusted and ``--quorum N`` for how many of them are needed (all).
EXPORT is a complete or filtered export, an archive of tiles, or a regulator's bundle. Keys are text or files.
Exit status: 0 the certificate verifies, 1 it does not, 2 the call was wrong.

1. The release key is an Ed25519 or SM2 public key, and the verifier key of the ledger is well-formed.
2. The certificate is a compact JWS in canonical base64url, of the kind ``fleetgate-destruction+json``.
3. It is signed by the release key.
4. Its payload is canonical JSON of a known version and says what was destroyed, by whom and when.
5. It names the ledger's key; its checkpoint is signed by that, and cosigned by enough of the witnesses.
6. The inclusion proof leads from its entry to that checkpoint's root.
7. The entry says the same: a completed destruction of this key, named by its fingerprint, by this person.
8. Where a ledger is given: it verifies (``verify.py``) and holds that entry at that index.
9. Where that ledger is complete: it is not older than the certificate, and its tree is the certificate's, grown.

What it cannot prove: that nobody kept a copy of the key or of what it opened. The certificate says so itself.
"""

import argparse
import base64
import binascii
import hashlib
import json
import re
import sys
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

try:
    from audit import verify
    from audit.verify_sm2 import verify_sm2
except ImportError:  # copied elsewhere, beside verify.py
    import verify  # type: ignore[import-not-found, no-redef]
    from verify_sm2 import verify_sm2  # type: ignore[import-not-found, no-redef]

KIND = "fleetgate-destruction+json"
MAX_CERTIFICATE_BYTES = 4 * 1024 * 1024

_ED25519, _SM2 = "Ed25519", "SM2SM3"
_COORDINATES = {("OKP", "Ed25519"): (_ED25519, ("x",)), ("EC", "SM2"): (_SM2, ("x", "y"))}
_ERASURE = "erase:recording:erase"
_DESTRUCTION = "vault:key:destroy"
_PREFIXES = {"release": "rel-", "detail": "sub-", "intake": "intake-"}
_HEADER = {"alg", "kid", "typ"}
_SHARED = {"actor", "destroyed", "issued_at", "kek", "ledger", "text", "version"}
# Version 1 is of a recording, 2 of a release, of a subject of ledger detail or of an intake key.
_PAYLOADS = {1: _SHARED | {"recording", "releases"}, 2: _SHARED | {"of"}}
_KEK = {"fingerprint", "id", "time"}
_PROOF = {"checkpoint", "inclusion", "index", "key", "leaf"}
_SEGMENT = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_BUNDLED = "entries.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A ledger that holds the entry of a certificate.

    Args:
        count: Entries in it.
        size: Entries in the tree of its checkpoint.
        complete: Whether it holds the whole tree, and therefore was compared with the certificate's.
    """

    count: int
    size: int
    complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedDestruction:
    """A certificate whose every statement was checked.

    Args:
        says: Its payload.
        origin: Name of the ledger.
        index: Index of the entry that it rests on.
        time: When the entry was written, UTC.
        size: Entries in the tree of its checkpoint.
        witnesses: POSIX seconds at which each given witness cosigned that checkpoint, by its name.
        ledger: The ledger that was given and holds the entry.
    """

    says: dict[str, Any]
    origin: str
    index: int
    time: str
    size: int
    witnesses: dict[str, int] = field(default_factory=dict)
    ledger: Held | None = None


def verify_destruction(
    certificate: str,
    release_key: str,
    vkey: str,
    *,
    ledger: Path | None = None,
    witnesses: Sequence[str] = (),
    quorum: int | None = None,
) -> VerifiedDestruction:
    """Verify a certificate of destruction offline.

    Args:
        certificate: As ``fleetgate erase --out`` or ``fleetgate retention destroy --out`` wrote it.
        release_key: The gate's release key, a JWK or base64url of 32 bytes, got by a way that does not pass the
            gate.
        vkey: The ledger's verifier key, got in the same way.
        ledger: An export, an archive or a bundle of the ledger, from whoever keeps one.
        witnesses: Verifier keys of the witnesses that are trusted.
        quorum: How many of them must have cosigned the certificate's checkpoint; None for all.

    Raises:
        BadKeyError: if a key is malformed or given twice, or the quorum is impossible.
        BadExportError: at the first thing that does not verify.
        OSError: if the ledger cannot be read.
    """
    public = _public(release_key)  # 1
    origin = verify.parse_vkey(vkey).name
    says = _signed(certificate.strip(), public)  # 2, 3
    proof = _well_formed(says)  # 4
    note = proof["checkpoint"]
    if proof["key"] != vkey.strip():
        raise verify.BadExportError(
            f"certificate names another ledger's key (got {proof['key']!r}, expected {vkey.strip()!r})"
        )
    size, root, times = verify.open_checkpoint(note, vkey, witnesses=witnesses, quorum=quorum)  # 5
    index = proof["index"]
    hashes = [_raw(each, "inclusion proof").hex() for each in proof["inclusion"]]
    entry = verify.check_proved(index, proof["leaf"], hashes, size, root)  # 6
    _check_entry(entry, says)  # 7
    held = None
    if ledger is not None:
        held = _held(ledger, vkey, index, _raw(proof["leaf"], "leaf"), size, root)  # 8, 9
    return VerifiedDestruction(
        says=says,
        origin=origin,
        index=index,
        time=str(entry.get("time")),
        size=size,
        witnesses=times,
        ledger=held,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _ReleaseKey:
    """A public key: 32 bytes of Ed25519, or 65 of SM2, with the ``alg`` of its signatures."""

    algorithm: str
    public: bytes

    def verify(self, signature: bytes, message: bytes) -> None:
        if self.algorithm == _SM2:
            verify_sm2(self.public, signature, message)
        else:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)


def _public(text: str) -> _ReleaseKey:
    # 1.
    stated = text.strip()
    jwk: dict[str, Any] = {"kty": "OKP", "crv": _ED25519, "x": stated}
    if stated.startswith("{"):
        try:
            jwk = json.loads(stated)
        except ValueError as exc:
            raise verify.BadKeyError(f"release key is no JWK: {exc}") from exc
    kind = (jwk.get("kty"), jwk.get("crv"))
    if kind not in _COORDINATES:
        raise verify.BadKeyError(f"release key (got {kind}, expected one of {list(_COORDINATES)})")
    algorithm, names = _COORDINATES[kind]
    try:
        parts = [_base64url(str(jwk.get(name))) for name in names]
    except ValueError as exc:
        raise verify.BadKeyError(f"release key is no base64url (got {jwk!r})") from exc
    if any(len(part) != 32 for part in parts):  # noqa: PLR2004 - a coordinate of either curve
        raise verify.BadKeyError(f"release key has the wrong length (got {[len(p) for p in parts]} bytes)")
    prefix = b"\x04" if algorithm == _SM2 else b""
    return _ReleaseKey(algorithm=algorithm, public=prefix + b"".join(parts))


def _signed(certificate: str, key: _ReleaseKey) -> dict[str, Any]:
    # 2.
    segments = certificate.split(".")
    if len(segments) != 3 or len(certificate) > MAX_CERTIFICATE_BYTES:  # noqa: PLR2004 - RFC 7515, 7.1
        raise verify.BadExportError("certificate is no compact JWS")
    try:
        header, payload, signature = (_base64url(segment) for segment in segments)
        named = json.loads(header)
    except ValueError as exc:
        raise verify.BadExportError(f"certificate is no compact JWS: {exc}") from exc
    if not isinstance(named, dict) or set(named) != _HEADER:
        raise verify.BadExportError(f"header (got {named!r}, expected exactly {sorted(_HEADER)})")
    if (named["alg"], named["typ"]) != (key.algorithm, KIND):
        raise verify.BadExportError(
            f"kind of statement (got {named['alg']!r} {named['typ']!r}, expected {key.algorithm!r} {KIND!r})"
        )
    # 3.
    try:
        signed = f"{segments[0]}.{segments[1]}".encode("ascii")
        key.verify(signature, signed)
    except (InvalidSignature, ValueError) as exc:
        raise verify.BadExportError(
            "certificate's signature does not verify under the given release key"
        ) from exc
    return verify.canonical_object(payload, "certificate")


def _well_formed(says: dict[str, Any]) -> dict[str, Any]:
    # 4.
    version = says.get("version")
    if type(version) is not int or says.keys() != _PAYLOADS.get(version):
        raise verify.BadExportError(
            f"certificate of another form (got version {says.get('version')!r} with {sorted(says)})"
        )
    proof, kek, text = says["ledger"], says["kek"], says["text"]
    sound = (
        _is_record(kek, _KEK)
        and _are_texts(list(kek.values()))
        and _is_record(proof, _PROOF)
        and _are_texts([proof["checkpoint"], proof["key"], proof["leaf"]])
        and type(proof["index"]) is int
        and _are_texts(proof["inclusion"])
        and _is_record(text, {"en", "zh"})
        and _are_texts(list(text.values()))
        and _are_texts([says["actor"], says["issued_at"]])
        and _are_texts(says["destroyed"])
        and (_is_of_recording(says) if version == 1 else _is_of_record(says))
    )
    if not sound:
        raise verify.BadExportError("certificate is malformed: a member is missing or of another type")
    return cast("dict[str, Any]", proof)


def _is_of_recording(says: dict[str, Any]) -> bool:
    return isinstance(says["recording"], str) and _are_texts(says["releases"])


def _is_of_record(says: dict[str, Any]) -> bool:
    of = says["of"]
    return (
        _is_record(of, {"id", "kind"})
        and _are_texts(list(of.values()))
        and says["kek"]["id"] == f"{_PREFIXES.get(of['kind'], '?')}{of['id']}"
    )


def _is_record(value: object, names: set[str]) -> bool:
    return isinstance(value, dict) and value.keys() == names


def _are_texts(values: object) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def _check_entry(entry: dict[str, Any], says: dict[str, Any]) -> None:
    # 7.
    of_recording = says["version"] == 1
    act = _ERASURE if of_recording else _DESTRUCTION
    if (entry.get("type"), entry.get("outcome")) != (act, "completed"):
        raise verify.BadExportError(
            f"entry of the certificate (got {entry.get('type')} {entry.get('outcome')},"
            f" expected {act} completed)"
        )
    digests, facts = entry.get("digests") or {}, entry.get("facts") or {}
    stated = {
        "actor": (entry.get("actor"), says["actor"]),
        "fingerprint": (digests.get("fingerprint"), says["kek"]["fingerprint"]),
        "kek": (facts.get("kek"), says["kek"]["id"]),
    }
    if of_recording:
        stated["recording"] = (entry.get("recording"), says["recording"])
    else:
        stated["object"] = (entry.get("object"), says["kek"]["id"])
        stated["kind"] = (facts.get("kind"), says["of"]["kind"])
    for name, (proved, value) in stated.items():
        if proved != value:
            raise verify.BadExportError(
                f"{name} of the entry (got {proved!r}, expected {value!r} as the certificate says)"
            )


def _held(path: Path, vkey: str, index: int, leaf: bytes, size: int, root: bytes) -> Held:
    # 8.
    if path.is_dir():
        verified = verify.verify_archive(path, vkey)
        leaves: Iterator[tuple[int, bytes]] = verify.archived_leaves(path, verified.size)
        return _compared(verified, leaves, index, leaf, size, root)
    with _opened(path) as stream:
        verified = verify.verify_export(stream, vkey)
    with _opened(path) as stream:
        return _compared(verified, _exported_leaves(stream), index, leaf, size, root)


def _compared(
    verified: "verify.VerifiedExport",
    leaves: Iterator[tuple[int, bytes]],
    index: int,
    leaf: bytes,
    size: int,
    root: bytes,
) -> Held:
    tree, found = verify.Tree(), None
    for at, content in leaves:
        if at == index:
            found = content
        if at < size:
            tree.add(hashlib.sha256(b"\x00" + content).digest())
    if verified.complete and verified.size < size:  # 9
        raise verify.BadExportError(
            f"the ledger is older than the certificate (got {verified.size} entries, expected at least {size})"
        )
    if found != leaf:
        told = "no entry" if found is None else "another entry"
        raise verify.BadExportError(f"the ledger holds {told} at the certificate's index", index)
    if verified.complete and tree.root() != root:
        raise verify.BadExportError(
            f"the ledger's tree of {size} entries is another (got {tree.root().hex()}, expected {root.hex()})"
        )
    return Held(count=verified.count, size=verified.size, complete=verified.complete)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    if not zipfile.is_zipfile(path):
        with path.open("rb") as stream:
            yield stream
        return
    with zipfile.ZipFile(path) as archive:
        if _BUNDLED not in archive.namelist():
            raise verify.BadExportError(f"the bundle holds no {_BUNDLED}")
        with archive.open(_BUNDLED) as member:
            yield cast("BinaryIO", member)


def _exported_leaves(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Index and leaf of each entry line of an export that was verified."""
    for line in stream:
        record = json.loads(line)
        if "leaf" in record:
            yield record["index"], base64.b64decode(record["leaf"])


def _base64url(segment: str) -> bytes:
    if _SEGMENT.fullmatch(segment) is None:
        raise ValueError(f"segment is no base64url (got {segment[:32]!r})")
    data = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode() != segment:
        raise ValueError("segment is no canonical base64url")
    return data


def _raw(text: object, what: str) -> bytes:
    try:
        return base64.b64decode(str(text).encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as exc:
        raise verify.BadExportError(f"{what} is no base64 (got {text!r})") from exc


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = _parser().parse_args(arguments)
    return run(
        options.certificate,
        options.release_key,
        options.vkey,
        ledger=options.ledger,
        witnesses=options.witness,
        quorum=options.quorum,
        as_json=options.json,
    )


def run(
    certificate: Path,
    release_key: str,
    vkey: str,
    *,
    ledger: Path | None = None,
    witnesses: Sequence[str] = (),
    quorum: int | None = None,
    as_json: bool = False,
) -> int:
    """Verify a file and print the result; return the exit status.

    Args:
        certificate: The file.
        release_key: The key, or a file that holds it.
        vkey: The ledger's verifier key, or a file that holds it.
        ledger: See :func:`verify_destruction`.
        witnesses: See :func:`verify_destruction`.
        quorum: See :func:`verify_destruction`.
        as_json: Print one JSON document.
    """
    try:
        verified = verify_destruction(
            certificate.read_text(encoding="ascii"),
            _text(release_key),
            _text(vkey),
            ledger=ledger,
            witnesses=witnesses,
            quorum=quorum,
        )
    except verify.BadExportError as exc:
        record: dict[str, Any] = {"ok": False, "index": exc.index, "reason": exc.reason}
        text = f"BAD 证书未通过验证 / the certificate does not verify: {exc.reason}"
        sys.stdout.write((json.dumps(record, ensure_ascii=False) if as_json else text) + "\n")
        return 1
    except (verify.BadKeyError, OSError, UnicodeDecodeError, zipfile.BadZipFile) as exc:
        sys.stderr.write(f"verify_destruction: {exc}\n")
        return 2
    told = json.dumps(_record(verified), ensure_ascii=False, sort_keys=True) if as_json else _told(verified)
    sys.stdout.write(told + "\n")
    return 0


def _record(verified: VerifiedDestruction) -> dict[str, Any]:
    held = verified.ledger
    return {
        "ok": True,
        "says": verified.says,
        "origin": verified.origin,
        "index": verified.index,
        "time": verified.time,
        "size": verified.size,
        "witnesses": {name: verify.instant(time_s) for name, time_s in verified.witnesses.items()},
        "ledger": None
        if held is None
        else {"count": held.count, "size": held.size, "complete": held.complete},
    }


def _told(verified: VerifiedDestruction) -> str:
    says, kek = verified.says, verified.says["kek"]
    if says["version"] == 1:
        what = [
            f"录制 / recording  {says['recording']}",
            f"发布 / releases   {', '.join(says['releases']) or '-'}",
        ]
    else:
        what = [f"记录 / record     {says['of']['kind']} {says['of']['id']}"]
    lines = [
        "OK 销毁证书通过验证 / the certificate of destruction verifies",
        *what,
        f"密钥 / key        {kek['id']}, {kek['fingerprint']}",
        f"销毁 / destroyed  {kek['time']} by {verified.says['actor']}",
        f"账本 / ledger     {verified.origin}: entry {verified.index} of {verified.size}, {verified.time}",
        *(
            f"见证 / witness    {name}, {verify.instant(time_s)}"
            for name, time_s in sorted(verified.witnesses.items())
        ),
    ]
    if held := verified.ledger:
        scope = (
            "完整，树一致 / complete, the same tree"
            if held.complete
            else "经筛选，未比较整棵树 / filtered, trees not compared"
        )
        lines.append(f"导出 / export     holds the entry; {held.count} of {held.size} entries ({scope})")
    lines += [str(verified.says["text"][language]) for language in ("zh", "en")]
    return "\n".join(lines)


def _text(value: str) -> str:
    if value.lstrip().startswith("{"):
        return value
    path = Path(value)
    return path.read_text(encoding="utf-8") if path.is_file() else value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="verify_destruction", description="Verify a certificate of destruction, offline."
    )
    parser.add_argument("certificate", type=Path, metavar="CERTIFICATE", help="file that the gate wrote")
    parser.add_argument(
        "--release-key", required=True, metavar="KEY", help="the gate's release key, or a file"
    )
    parser.add_argument("--vkey", required=True, help="verifier key of the ledger, or a file")
    parser.add_argument(
        "--ledger", type=Path, metavar="EXPORT", help="export, archive of tiles or bundle of the ledger"
    )
    parser.add_argument(
        "--witness", action="append", default=[], metavar="VKEY", help="verifier key of a witness; repeat"
    )
    parser.add_argument("--quorum", type=int, metavar="N", help="witnesses that must have cosigned (all)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
