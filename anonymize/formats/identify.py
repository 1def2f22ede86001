"""Identify an item by its content, then hold its name's extension against that."""

import re
from dataclasses import dataclass
from typing import Literal

from anonymize.errors import MalformedItemError, UnknownFormatError, WrongExtensionError
from anonymize.formats import gzip_member, sniff, strict_json
from anonymize.formats.sniff import ItemKind
from anonymize.layouts.sweeps import is_nuscenes_sweep
from anonymize.maps.sniff import is_opendrive_root, is_osm_root

__all__ = [
    "HEAD_BYTES",
    "MAX_EXPANDED_BYTES",
    "MAX_RATIO",
    "Identified",
    "ItemKind",
    "identify",
    "identify_in_place",
]

MAX_EXPANDED_BYTES = 1 << 30
MAX_RATIO = 100
HEAD_BYTES = 64 * 1024

_SHOWN_BYTES = 8
_EXTENSION = re.compile(r"\.([A-Za-z0-9]{1,16})$")
_MEDIA_TYPES = {
    ItemKind.JPEG: "image/jpeg",
    ItemKind.PNG: "image/png",
    ItemKind.GPX: "application/gpx+xml",
    ItemKind.CSV_TRACK: "text/csv",
    ItemKind.GEOJSON_TRACK: "application/geo+json",
    ItemKind.KITTI_POINTS: "application/octet-stream",
    ItemKind.JSON: "application/json",
    ItemKind.TEXT: "text/plain",
    ItemKind.VIDEO: "video/mp4",
    ItemKind.HEIC: "image/heic",
    ItemKind.NMEA: "application/vnd.nmea0183",
    ItemKind.MCAP: "application/x-mcap",
    ItemKind.ROS1_BAG: "application/x-mcap",
    ItemKind.ROS2_DB3: "application/x-mcap",
    ItemKind.PCD: "application/octet-stream",
    ItemKind.LAS: "application/vnd.las",
    ItemKind.LAZ: "application/vnd.laszip",
    ItemKind.COPC: "application/vnd.laszip",
    ItemKind.GEOJSON_MAP: "application/geo+json",
    ItemKind.OSM_XML: "application/vnd.openstreetmap.data+xml",
    ItemKind.OSM_PBF: "application/octet-stream",
    ItemKind.CAN_ASC: "text/plain",
    ItemKind.CAN_BLF: "application/octet-stream",
    ItemKind.KITTI_OXTS: "text/plain",
    ItemKind.KITTI_TIMESTAMPS: "text/plain",
    ItemKind.KITTI_TIMES: "text/plain",
    ItemKind.KITTI_POSES: "text/plain",
    ItemKind.NUSCENES_TABLE: "application/json",
    ItemKind.NUSCENES_SWEEP: "application/octet-stream",
}
_KITTI = frozenset(
    {ItemKind.KITTI_OXTS, ItemKind.KITTI_TIMESTAMPS, ItemKind.KITTI_TIMES, ItemKind.KITTI_POSES}
)
_CLAIMS = {
    "jpg": frozenset({ItemKind.JPEG}),
    "jpeg": frozenset({ItemKind.JPEG}),
    "png": frozenset({ItemKind.PNG}),
    "gpx": frozenset({ItemKind.GPX}),
    "csv": frozenset({ItemKind.CSV_TRACK, ItemKind.TEXT}),
    "geojson": frozenset({ItemKind.GEOJSON_TRACK, ItemKind.GEOJSON_MAP, ItemKind.JSON}),
    "json": frozenset({ItemKind.JSON, ItemKind.GEOJSON_TRACK, ItemKind.GEOJSON_MAP, ItemKind.NUSCENES_TABLE}),
    "txt": frozenset({ItemKind.TEXT, ItemKind.CSV_TRACK, ItemKind.NMEA}) | _KITTI,
    "nmea": frozenset({ItemKind.NMEA}),
    "mcap": frozenset({ItemKind.MCAP}),
    "bag": frozenset({ItemKind.ROS1_BAG}),
    "db3": frozenset({ItemKind.ROS2_DB3}),
    "pcd": frozenset({ItemKind.PCD}),
    "las": frozenset({ItemKind.LAS}),
    "laz": frozenset({ItemKind.LAZ, ItemKind.COPC}),
    "osm": frozenset({ItemKind.OSM_XML}),
    "pbf": frozenset({ItemKind.OSM_PBF}),
    "asc": frozenset({ItemKind.CAN_ASC}),
    "blf": frozenset({ItemKind.CAN_BLF}),
    "bin": frozenset({ItemKind.KITTI_POINTS, ItemKind.NUSCENES_SWEEP}),
    "heic": frozenset({ItemKind.HEIC}),
    "heif": frozenset({ItemKind.HEIC}),
    **dict.fromkeys(("mp4", "mov", "mkv", "h264", "264", "hevc", "265"), frozenset({ItemKind.VIDEO})),
}
_BARE_STREAMS: dict[str, Literal["h264", "hevc"]] = {
    "h264": "h264",
    "264": "h264",
    "hevc": "hevc",
    "265": "hevc",
}
_UNPACKED = frozenset(
    {ItemKind.VIDEO, ItemKind.MCAP, ItemKind.ROS1_BAG, ItemKind.ROS2_DB3, ItemKind.LAS, ItemKind.LAZ,
     ItemKind.COPC, ItemKind.CAN_BLF}
)  # fmt: skip
_QUICKTIME = frozenset({"mov", "mp4"})
_TEXT_EXTENSIONS = frozenset({"csv", "geojson", "json", "txt"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Identified:
    """What an item is.

    Attributes:
        kind: Kind of the expanded content.
        encoding: ``gzip`` if the delivered bytes are one gzip member around that content, else None.
        media_type: IANA media type of the expanded content; of any video, of the one format that they leave in.
    """

    kind: ItemKind
    encoding: Literal["gzip"] | None
    media_type: str


def identify(
    name: str, content: bytes, *, max_bytes: int = MAX_EXPANDED_BYTES, max_ratio: int = MAX_RATIO
) -> Identified:
    """Identify one item.

    Args:
        name: The item's name; only its extension matters here (``check_name`` judges the rest).
        content: The delivered bytes.
        max_bytes: Greatest expanded size in bytes of a gzip member.
        max_ratio: Greatest expansion of a gzip member per compressed byte.

    Raises:
        LimitExceededError: A gzip member expands beyond a limit.
        MalformedItemError: Empty, damaged gzip, or content that its extension promises but that violates it.
        UnknownFormatError: The content is of no kind that the gate understands.
        WrongExtensionError: The extension promises another kind.
    """
    # 1. There is content.
    if not content:
        raise MalformedItemError("item is empty (got 0 bytes)")
    # 2. The encoding is what the name says.
    is_gzip, says_gzip = content.startswith(gzip_member.MAGIC), name.lower().endswith(".gz")
    inner_name = name[:-3] if says_gzip else name
    extension = _extension(inner_name)
    if says_gzip and not is_gzip:
        raise WrongExtensionError(
            f"extension does not fit the content (got .gz, expected gzip, found {_hex(content)})"
        )
    if is_gzip and not says_gzip and extension in _CLAIMS:
        raise WrongExtensionError(
            f"extension does not fit the content (got .{extension}, expected .{extension}.gz)"
        )
    body = gzip_member.expand(content, max_bytes=max_bytes, max_ratio=max_ratio) if is_gzip else content
    if not body:
        raise MalformedItemError("item is empty (got 0 bytes within gzip)")
    # 3. The content is of a kind that is understood.
    kind = _by_content(body, extension)
    # 4. The extension promises nothing else.
    _require_claimed(kind, extension)
    if is_gzip and kind in _UNPACKED:
        # Unpacked it would have to be held in memory as a whole.
        raise UnknownFormatError(f"a {kind} is delivered as it is (got one within gzip)")
    return Identified(kind=kind, encoding="gzip" if is_gzip else None, media_type=_MEDIA_TYPES[kind])


def identify_in_place(name: str, head: bytes) -> Identified | None:
    """What an item is from its beginning alone, where its kind may be too large for memory.

    Args:
        name: The item's name.
        head: Its first ``HEAD_BYTES``, or all of it where it is shorter.

    Returns:
        What ``identify`` says of the whole item if that is a video, a container, a point cloud, a CAN log or OSM
        data; None if it is something else.

    Raises:
        UnknownFormatError: It is of a kind that is known and cannot be treated.
        WrongExtensionError: The extension promises another kind.
    """
    extension = _extension(name)
    kind = _video_kind(head, extension) or sniff.large_kind(head) or _osm(head)
    if kind is None or kind is ItemKind.HEIC:
        return None
    _require_claimed(kind, extension)
    return Identified(kind=kind, encoding=None, media_type=_MEDIA_TYPES[kind])


def _osm(head: bytes) -> ItemKind | None:
    return ItemKind.OSM_XML if is_osm_root(sniff.xml_root(head) or "") else None


def _require_claimed(kind: ItemKind, extension: str) -> None:
    claimed = _CLAIMS.get(extension)
    if claimed is not None and kind not in claimed:
        promised = " or ".join(sorted(claimed))
        raise WrongExtensionError(
            f"extension does not fit the content (got .{extension} for {promised}, found {kind})"
        )


def _video_kind(content: bytes, extension: str) -> ItemKind | None:
    """Video or HEIC; what has no signature of its own counts under its extension only."""
    if kind := sniff.heif_or_movie(content):
        return kind
    if extension in _QUICKTIME and sniff.is_early_quicktime(content):
        return ItemKind.VIDEO
    codec = _BARE_STREAMS.get(extension)
    return ItemKind.VIDEO if codec and sniff.is_bare_stream(content, codec) else None


def _by_content(body: bytes, extension: str) -> ItemKind:
    head = body[:HEAD_BYTES]
    if kind := sniff.image_kind(body) or _video_kind(head, extension) or sniff.large_kind(head):
        return kind
    root = sniff.xml_root(body)
    if root is not None:
        return _xml_kind(root, extension)
    if extension == "bin":
        return _points_or_other(body)
    text = sniff.text_of(body)
    if text is None:
        return _refuse_binary(body, extension)
    kind = sniff.text_kind(text, body)
    if extension in {"json", "geojson"} and kind not in _CLAIMS[extension]:
        return _json_by_claim(body, text, kind)
    if extension == "gpx" and text.lstrip().startswith("<"):
        raise MalformedItemError("GPX is malformed (got '<' but no readable root element)")
    return kind


def _xml_kind(root: str, extension: str) -> ItemKind:
    if root.lower() == "gpx":
        return ItemKind.GPX
    if is_osm_root(root):
        return ItemKind.OSM_XML
    if is_opendrive_root(root):
        raise UnknownFormatError(
            "OpenDRIVE maps cannot be treated: a displacement leaves gaps between the curves of their roads "
            "(got OpenDRIVE, expected GeoJSON, OSM XML or OSM PBF)"
        )
    raise UnknownFormatError(
        f"XML of an unknown kind (got .{extension or '(none)'}, expected the root 'gpx' or 'osm')"
    )


def _points_or_other(body: bytes) -> ItemKind:
    text = sniff.text_of(body)
    if text is not None:
        return sniff.text_kind(text, body)
    if is_nuscenes_sweep(body):
        return ItemKind.NUSCENES_SWEEP
    fault = sniff.points_fault(body)
    if fault is not None:
        raise MalformedItemError(
            f"not a KITTI sweep (got {fault}, expected 16 bytes per point, x y z intensity)"
        )
    return ItemKind.KITTI_POINTS


def _json_by_claim(body: bytes, text: str, kind: ItemKind) -> ItemKind:
    """Text that is named JSON: a scalar document is JSON, an opened structure says where it breaks."""
    opens = text.lstrip()[:1] in {"{", "["}
    try:
        return sniff.json_kind(strict_json.parse(body, max_depth=sniff.MAX_JSON_DEPTH))
    except MalformedItemError:
        if opens:
            raise
        return kind


def _refuse_binary(body: bytes, extension: str) -> ItemKind:
    if extension in _TEXT_EXTENSIONS:
        text = strict_json.decode_utf8(body)
        offset = next((i for i, c in enumerate(text) if (c < " " and c not in "\t\n\r") or c == "\x7f"), 0)
        raise MalformedItemError(
            f"text holds a control character (got U+{ord(text[offset]):04X} at character {offset})"
        )
    if extension in _CLAIMS:
        promised = " or ".join(sorted(_CLAIMS[extension]))
        raise WrongExtensionError(
            f"extension does not fit the content (got .{extension} for {promised}, found bytes {_hex(body)})"
        )
    raise UnknownFormatError(
        f"unknown format (got extension .{extension or '(none)'} and first bytes {_hex(body)})"
    )


def _extension(name: str) -> str:
    match = _EXTENSION.search(name.rpartition("/")[2])
    return match.group(1).lower() if match else ""


def _hex(content: bytes) -> str:
    return content[:_SHOWN_BYTES].hex(" ")
