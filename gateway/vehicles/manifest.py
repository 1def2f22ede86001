"""What a vehicle announces before it delivers: a signed list of every item with its size and digest."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import jsonschema
from joserfc.jwk import OKPKey

from anonymize.formats.names import UnsafeNameError, check_name
from gateway.vault.errors import StatementError
from gateway.vault.jws import sign_statement, verify_statement
from gateway.vehicles.cameras import Camera, cameras_by_item, parse_cameras
from gateway.vehicles.errors import ManifestError
from gateway.vehicles.sealing import Sealing, parse_sealing

MANIFEST_TYP: Final = "fleetgate-manifest+jwt"
VERSION: Final = 1
MAX_ITEMS: Final = 100_000
MAX_ITEM_SIZE: Final = 2**40

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)", re.ASCII)
_ITEM_FIELDS: Final = frozenset({"name", "size", "sha256", "captured_at"})

SCHEMA: Final[Mapping[str, Any]] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Vehicle manifest",
    "type": "object",
    "additionalProperties": False,
    "required": [
        "version",
        "vehicle",
        "recording",
        "started_at",
        "ended_at",
        "region",
        "crs",
        "collection",
        "items",
    ],
    "properties": {
        "version": {"const": VERSION},
        "vehicle": {"type": "string", "pattern": r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z"},
        "recording": {
            "type": "string",
            "pattern": r"^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\Z",
        },
        "started_at": {"type": "string"},
        "ended_at": {"type": "string"},
        "region": {"type": "string", "pattern": r"^[1-9][0-9]{5}\Z"},
        "crs": {"type": "string", "pattern": r"^[A-Za-z0-9][A-Za-z0-9:._-]{0,63}\Z"},
        "collection": {
            "type": "object",
            "additionalProperties": False,
            "required": ["cabin", "audio"],
            "properties": {"cabin": {"type": "boolean"}, "audio": {"type": "boolean"}},
        },
        "items": {"type": "array", "minItems": 1, "maxItems": MAX_ITEMS},
        # Optional: a manifest without them is the same, byte for byte, as before there were cameras and sealing.
        "cameras": {"type": "array"},
        "sealing": {"type": "object"},
    },
}
_VALIDATOR: Final = jsonschema.Draft202012Validator(SCHEMA)


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestItem:
    """One announced file.

    Attributes:
        name: Relative path with ``/`` between its parts, in Unicode normal form C.
        size: Bytes.
        sha256: Digest of the content, 64 lower-case hexadecimal digits.
        captured_at: When it was captured (UTC), None where the vehicle does not say.
    """

    name: str
    size: int
    sha256: str
    captured_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One drive of one vehicle, as announced.

    Attributes:
        vehicle: The vehicle's enrolled id.
        recording: UUID that the vehicle chose; the same one on every attempt to deliver.
        started_at: Begin of the drive (UTC).
        ended_at: End of the drive (UTC), not before its begin.
        region: Six-digit administrative code (GB/T 2260) of where it took place.
        crs: Coordinate reference system of its positions as the vehicle names it; classification judges it.
        cabin: Whether the cabin was recorded (COMPLIANCE.md rule 20).
        audio: Whether sound was recorded (rule 20).
        items: At least one, no two of the same name however spelt.
        cameras: What the vehicle says of its cameras; no item has two. Empty where it says nothing.
        sealing: How the vehicle sealed the items; None where they are delivered as they are.
    """

    vehicle: str
    recording: str
    started_at: datetime
    ended_at: datetime
    region: str
    crs: str
    cabin: bool
    audio: bool
    items: tuple[ManifestItem, ...]
    cameras: tuple[Camera, ...] = ()
    sealing: Sealing | None = None

    def camera_of(self) -> dict[str, Camera]:
        """The camera that took each item, by the item's name; items without one are not in it."""
        return cameras_by_item(self.cameras, (item.name for item in self.items))

    def payload(self) -> dict[str, Any]:
        """The JSON object that is signed; ``parse_manifest`` reads it back."""
        described = {"cameras": [camera.payload() for camera in self.cameras]} if self.cameras else {}
        sealed = {"sealing": self.sealing.payload()} if self.sealing else {}
        return {
            **described,
            **sealed,
            "version": VERSION,
            "vehicle": self.vehicle,
            "recording": self.recording,
            "started_at": self.started_at.isoformat(),
            "ended_at": self.ended_at.isoformat(),
            "region": self.region,
            "crs": self.crs,
            "collection": {"cabin": self.cabin, "audio": self.audio},
            "items": [
                {
                    "name": item.name,
                    "size": item.size,
                    "sha256": item.sha256,
                    "captured_at": item.captured_at.isoformat() if item.captured_at else None,
                }
                for item in self.items
            ],
        }


def sign_manifest(manifest: Manifest, key: OKPKey) -> str:
    """Sign with the vehicle's key: compact JWS of type ``fleetgate-manifest+jwt``.

    Raises:
        ManifestError: The manifest breaks its own rules or is too long to be signed.
    """
    parse_manifest(manifest.payload())
    try:
        return sign_statement(key, MANIFEST_TYP, manifest.vehicle, manifest.payload())
    except StatementError as error:
        raise ManifestError("manifest", str(error), "what can be signed") from error


def read_manifest(statement: str, public_key: OKPKey) -> Manifest:
    """Verify the signature under the vehicle's key, then parse.

    Raises:
        ManifestError: The signature does not verify or the payload is malformed.
    """
    try:
        payload = verify_statement(statement, MANIFEST_TYP, public_key)
    except StatementError as error:
        raise ManifestError("manifest", str(error), "a statement signed by the vehicle's key") from error
    return parse_manifest(payload)


def parse_manifest(payload: Mapping[str, Any]) -> Manifest:
    """Check a manifest and give it its type.

    1. The head has exactly the fields of the schema, each of its form.
    2. Times carry their zone, and the drive does not end before it starts.
    3. Each item has exactly its fields, each of its form.
    4. No two names are the same in normal form C without regard to case.
    5. Cameras, where there are any, are possible, and no item has two.
    6. A sealing, where there is one, has its form and speaks of as many items.

    Raises:
        ManifestError: A check fails; it names the field and the value.
    """
    violation = next(iter(_VALIDATOR.iter_errors(payload)), None)  # 1
    if violation is not None:
        raise _schema_error(violation)
    started_at = _time("started_at", payload["started_at"])  # 2
    ended_at = _time("ended_at", payload["ended_at"])
    if ended_at < started_at:
        raise ManifestError("ended_at", payload["ended_at"], f"not before started_at {payload['started_at']}")
    items = tuple(_item(f"items[{i}]", item) for i, item in enumerate(payload["items"]))  # 3
    _check_distinct(items)  # 4
    cameras = parse_cameras(payload["cameras"]) if "cameras" in payload else ()  # 5
    cameras_by_item(cameras, (item.name for item in items))
    return Manifest(
        vehicle=payload["vehicle"],
        recording=payload["recording"],
        started_at=started_at,
        ended_at=ended_at,
        region=payload["region"],
        crs=payload["crs"],
        cabin=payload["collection"]["cabin"],
        audio=payload["collection"]["audio"],
        items=items,
        cameras=cameras,
        sealing=parse_sealing(payload["sealing"], len(items)) if "sealing" in payload else None,  # 6
    )


def _schema_error(violation: jsonschema.ValidationError) -> ManifestError:
    field = ".".join(str(part) for part in violation.absolute_path) or "manifest"
    got: Any = violation.instance
    schema: Any = violation.schema
    match violation.validator:
        case "required" | "additionalProperties":
            optional = sorted(set(schema["properties"]) - set(schema["required"]))
            fields = f"exactly the fields {sorted(schema['required'])}"
            return ManifestError(
                field, sorted(map(str, got)), f"{fields} and at most {optional}" if optional else fields
            )
        case "minItems" | "maxItems":
            return ManifestError(field, f"{len(got)} entries", f"1 to {MAX_ITEMS}")
        case _:
            return ManifestError(field, got, f"{violation.validator} {violation.validator_value}")


def _item(where: str, item: Any) -> ManifestItem:
    if not isinstance(item, Mapping):
        raise ManifestError(where, item, "an object")
    if set(item) != _ITEM_FIELDS:
        raise ManifestError(where, sorted(map(str, item)), f"exactly the fields {sorted(_ITEM_FIELDS)}")
    name, size, digest, captured_at = item["name"], item["size"], item["sha256"], item["captured_at"]
    if not isinstance(name, str):
        raise ManifestError(f"{where}.name", name, "a string")
    try:
        check_name(name)
    except UnsafeNameError as error:
        raise ManifestError(f"{where}.name", name, f"a safe name: {error}") from error
    if type(size) is not int or not 0 <= size <= MAX_ITEM_SIZE:
        raise ManifestError(f"{where}.size", size, f"an integer from 0 to {MAX_ITEM_SIZE}")
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise ManifestError(f"{where}.sha256", digest, "64 lower-case hexadecimal digits")
    captured = None if captured_at is None else _time(f"{where}.captured_at", captured_at)
    return ManifestItem(name=name, size=size, sha256=digest, captured_at=captured)


def _time(where: str, value: Any) -> datetime:
    expected = "RFC 3339 date and time with its offset"
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        raise ManifestError(where, value, expected)
    try:
        return datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ManifestError(where, value, expected) from error


def _check_distinct(items: Sequence[ManifestItem]) -> None:
    first: dict[str, int] = {}
    for i, item in enumerate(items):
        folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", item.name).casefold())
        if folded in first:
            raise ManifestError(
                f"items[{i}].name", item.name, f"a name other than that of items[{first[folded]}]"
            )
        first[folded] = i
