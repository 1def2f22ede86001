"""The operator's signed statement of what a release contains."""

import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import rfc8785
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.util import urlsafe_b64decode

from pipeline.errors import TamperedReleaseError
from pipeline.signing import ReleaseKey
from pipeline.sm2 import ALGORITHM as SM2
from pipeline.sm2 import Sm2ReleaseKey

MANIFEST_TYP: Final = "fleetgate-release+jwt"
MANIFEST_FILE: Final = "release.jws"
RESERVED_PREFIX: Final = ".fleetgate"
VERSION: Final = 1
MAX_STATEMENT_LENGTH: Final = 64 * 1024 * 1024

_ALGORITHM: Final = "Ed25519"
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_MAX_NAME_BYTES: Final = 1024
_MAX_PART_BYTES: Final = 255


class _Registry(jws.JWSRegistry):
    """joserfc's registry with room for large releases."""

    max_payload_length = MAX_STATEMENT_LENGTH


_REGISTRY: Final = _Registry(algorithms=[_ALGORITHM])


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipTime:
    """When an item of a LOCAL release was taken.

    Attributes:
        number: Number of the clip.
        t_s: Seconds since its begin.
    """

    number: int
    t_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseItem:
    """One file of a release.

    Attributes:
        name: Safe relative path.
        media_type: IANA media type.
        data_class: Class of the taxonomy.
        level: Level after treatment.
        size: Bytes.
        sha256: Digest of the content, hexadecimal.
        mask: The file beside it that says where its pixels were destroyed, None where it has none.
        clip: When it was taken, in LOCAL releases; None where it was not taken at one moment.
        captured_at: When it was taken, in the release's shifted time, in other modes.
        clip_stride_s: Of a log of a LOCAL release: clip k begins k times so many seconds after its begin.
    """

    name: str
    media_type: str
    data_class: str
    level: str
    size: int
    sha256: str
    mask: "ReleaseItem | None" = None
    clip: ClipTime | None = None
    captured_at: datetime | None = None
    clip_stride_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseManifest:
    """A verified release manifest.

    Attributes:
        release: Id of the release.
        digest: The release digest that people approved.
        purpose: The one purpose it may be used for.
        recipient: The one organisation that may receive it.
        mode: How positions were treated.
        profile: Name and digest of the treatment profile.
        policy_bundle: Digest of the policy bundle that allowed it.
        expires_at: End of use, with time zone.
        items: Its files.
        approvals: The approvers' statements, as they signed them.
        statement: The signed form of all this.
        files: The items, each followed by its mask where it has one.
        by_name: The files by their names.
    """

    release: str
    digest: str
    purpose: str
    recipient: str
    mode: str
    profile: tuple[str, str]
    policy_bundle: str
    expires_at: datetime
    items: tuple[ReleaseItem, ...]
    files: tuple[ReleaseItem, ...]
    approvals: tuple[str, ...]
    statement: str
    by_name: Mapping[str, ReleaseItem]


def read_release_manifest(
    statement: str, release_key: ReleaseKey, *, release: str, purpose: str
) -> ReleaseManifest:
    """Verify a release manifest and give it its type.

    1. It is a compact JWS with the ``alg`` of the pinned key and the type of release manifests.
    2. The signature verifies under the pinned key.
    3. The payload is one JSON object in RFC 8785 form and of our version.
    4. It is the release that was asked for, for the purpose that was stated.
    5. Every item is well formed; names stay inside a folder and are distinct on any file system.
    6. It carries at least one approval.

    Args:
        statement: The JWS as served.
        release_key: The operator's release key, pinned by the reader.
        release: The release that was asked for.
        purpose: The reader's purpose.

    Raises:
        TamperedReleaseError: A step fails.
    """
    payload = _verified_payload(statement, release_key)  # 1 to 3
    for field, expected in (("version", VERSION), ("release", release), ("purpose", purpose)):  # 3, 4
        if payload.get(field) != expected:
            raise TamperedReleaseError(
                f"manifest {field} (got {payload.get(field)!r}, expected {expected!r})"
            )
    try:
        manifest = _manifest(payload, statement)  # 5
    except (KeyError, TypeError, ValueError) as error:
        raise TamperedReleaseError(f"manifest is malformed: {type(error).__name__}: {error}") from error
    folded = {unicodedata.normalize("NFC", file.name).casefold() for file in manifest.files}
    if len(folded) != len(manifest.files) or MANIFEST_FILE in folded:
        raise TamperedReleaseError(
            f"manifest item names are not distinct from one another and {MANIFEST_FILE!r}"
        )
    if not manifest.approvals:  # 6
        raise TamperedReleaseError("manifest approvals (got none, expected at least 1)")
    return manifest


def _verified_payload(statement: str, release_key: ReleaseKey) -> dict[str, Any]:
    try:
        parsed = _verified(statement, release_key)
    except (JoseError, ValueError) as error:
        raise TamperedReleaseError(
            f"manifest does not verify under the pinned release key {release_key.thumbprint()}: {error}"
        ) from error
    header = parsed.headers()
    kind = header.get("alg"), header.get("typ")
    expected = (SM2 if isinstance(release_key, Sm2ReleaseKey) else _ALGORITHM, MANIFEST_TYP)
    if kind != expected:
        raise TamperedReleaseError(f"manifest type (got {kind}, expected {expected})")
    try:
        payload = json.loads(parsed.payload)
        canonical = isinstance(payload, dict) and rfc8785.dumps(payload) == parsed.payload
    except (ValueError, RecursionError) as error:
        raise TamperedReleaseError(f"manifest payload is not JSON: {error}") from error
    if not canonical:
        raise TamperedReleaseError("manifest payload is not a JSON object in RFC 8785 form")
    return dict(payload)


def _verified(statement: str, release_key: ReleaseKey) -> jws.CompactSignature:
    if not isinstance(release_key, Sm2ReleaseKey):
        return jws.deserialize_compact(statement, release_key, registry=_REGISTRY)
    parsed = jws.extract_compact(statement.encode("ascii"), registry=_REGISTRY)
    if set(parsed.headers()) != {"alg", "kid", "typ"}:
        raise ValueError(f"header (got {sorted(parsed.headers())})")
    segments = parsed.segments
    signed = segments["header"] + b"." + segments["payload"]
    release_key.verify(urlsafe_b64decode(segments["signature"]), signed)
    return parsed


def _manifest(payload: Mapping[str, Any], statement: str) -> ReleaseManifest:
    expires_at = _instant(payload, "expires_at")
    if not payload["items"]:
        raise ValueError("items (got none, expected at least 1)")
    items = tuple(_item(item) for item in payload["items"])
    files = tuple(file for item in items for file in (item, item.mask) if file is not None)
    return ReleaseManifest(
        release=_text(payload, "release"),
        digest=_text(payload, "digest"),
        purpose=_text(payload, "purpose"),
        recipient=_text(payload, "recipient"),
        mode=_text(payload, "mode"),
        profile=(_text(payload["profile"], "name"), _text(payload["profile"], "digest")),
        policy_bundle=_text(payload["policy"], "bundle_digest"),
        expires_at=expires_at,
        items=items,
        files=files,
        approvals=tuple(str(approval) for approval in payload["approvals"]),
        statement=statement,
        by_name={file.name: file for file in files},
    )


def _item(item: Mapping[str, Any]) -> ReleaseItem:
    # An item may be no mapping at all, which ``_file`` refuses; ``get`` would be an error of another kind.
    beside = item["mask"] if "mask" in item else None  # noqa: SIM401
    # A mask is of the class and level of what it belongs to.
    mask = _file({"class": item["class"], "level": item["level"], **beside}) if beside is not None else None
    return _file(item, mask)


def _file(item: Mapping[str, Any], mask: ReleaseItem | None = None) -> ReleaseItem:
    size, digest = item["size"], _text(item, "sha256")
    if type(size) is not int or size < 0:
        raise ValueError(f"size (got {size!r}, expected a count of bytes)")
    if not _DIGEST.fullmatch(digest):
        raise ValueError(f"sha256 (got {digest!r}, expected 64 hexadecimal digits)")
    return ReleaseItem(
        name=_safe_name(_text(item, "name")),
        media_type=_text(item, "media_type"),
        data_class=_text(item, "class"),
        level=_text(item, "level"),
        size=size,
        sha256=digest,
        mask=mask,
        **_place(item),
    )


def _place(item: Mapping[str, Any]) -> dict[str, Any]:
    """Where in the release's time an item lies, as far as the manifest says."""
    place: dict[str, Any] = {}
    if "clip" in item:
        number, t_s = item["clip"]["number"], item["clip"]["t_s"]
        if type(number) is not int or number < 0 or type(t_s) not in {int, float} or not t_s >= 0:
            raise ValueError(f"clip (got {item['clip']!r}, expected its number and seconds since its begin)")
        place["clip"] = ClipTime(number=number, t_s=float(t_s))
    if "captured_at" in item:
        place["captured_at"] = _instant(item, "captured_at")
    if "clip_stride_s" in item:
        stride = item["clip_stride_s"]
        if type(stride) is not int or stride <= 0:
            raise ValueError(f"clip_stride_s (got {stride!r}, expected a count of seconds)")
        place["clip_stride_s"] = stride
    return place


def _instant(holder: Mapping[str, Any], field: str) -> datetime:
    instant = datetime.fromisoformat(_text(holder, field))
    if instant.tzinfo is None:
        raise ValueError(f"{field} (got {holder[field]!r}, expected a time with its offset)")
    return instant


def _text(holder: Mapping[str, Any], field: str) -> str:
    value = holder[field]
    if not isinstance(value, str) or not value:
        raise ValueError(f"{field} (got {value!r}, expected a non-empty string)")
    return value


def _safe_name(name: str) -> str:
    parts = name.split("/")
    unsafe = (
        any(part in {"", ".", ".."} or len(part.encode()) > _MAX_PART_BYTES for part in parts)
        or len(name.encode()) > _MAX_NAME_BYTES
        or any(unicodedata.category(c) in {"Cc", "Cs"} for c in name)
        or "\\" in name
        or ":" in parts[0]
        or parts[0].startswith(RESERVED_PREFIX)
    )
    if unsafe:
        raise ValueError(f"name (got {name!a}, expected a relative path that stays inside its folder)")
    return name
