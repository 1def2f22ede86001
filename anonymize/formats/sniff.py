"""Which kind some bytes are, from the bytes alone."""

import csv
import io
import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Any, Literal
from xml.etree.ElementTree import ParseError

import numpy as np
from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import iterparse

from anonymize.containers.sniff import sniff_container
from anonymize.containers.stream import ContainerKind
from anonymize.errors import LimitExceededError, MalformedItemError, UnknownFormatError
from anonymize.formats import strict_json
from anonymize.formats.nmea import is_nmea
from anonymize.formats.number_table import has_grid_columns, is_number_table
from anonymize.layouts.kitti import KittiKind, kitti_kind
from anonymize.layouts.nuscenes import nuscenes_table
from anonymize.maps.sniff import is_osm_pbf, is_vector_map
from anonymize.points.kinds import CloudKind, cloud_kind

MAX_JSON_DEPTH = 256

_JPEG = b"\xff\xd8\xff"
_PNG = b"\x89PNG\r\n\x1a\n"
_MATROSKA = b"\x1a\x45\xdf\xa3"
_DOC_TYPES = (b"matroska", b"webm")
_EBML_HEADER_BYTES = 256
_BOX_TYPE = slice(4, 8)
_BRAND_BYTES = 4
_FIRST_BRANDS = 64
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_MOVIE_BRANDS = frozenset(
    {b"isom", b"iso2", b"iso3", b"iso4", b"iso5", b"iso6", b"iso7", b"iso8", b"iso9", b"mp41", b"mp42", b"mp71",
     b"avc1", b"hvc1", b"av01", b"qt  ", b"M4V ", b"M4VH", b"M4VP", b"MSNV", b"dash", b"msdh", b"mmp4", b"XAVC",
     b"3gp4", b"3gp5", b"3gp6", b"3gp7", b"3g2a", b"3g2b", b"3g2c"}
)  # fmt: skip
_QUICKTIME_BOXES = frozenset({b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"})
_START_CODES = (b"\x00\x00\x00\x01", b"\x00\x00\x01")
_H264_UNITS = frozenset({1, 5, 6, 7, 9})
_HEVC_UNITS = frozenset({*range(22), 32, 33, 35, 39})
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_LATITUDE = re.compile(r"(?:^|[^a-z])(?:lat|latitude)(?:[^a-z]|$)|纬度")
_LONGITUDE = re.compile(r"(?:^|[^a-z])(?:lon|lng|long|longitude)(?:[^a-z]|$)|经度")
_DELIMITERS = ",;\t|"
_BLF = b"LOGG"
_ASC = re.compile(rb"(?:\xef\xbb\xbf)?date [^\r\n]{1,120}\r?\nbase +(?:hex|dec) ", re.IGNORECASE)
_TRACK_GEOMETRIES = frozenset({"Point", "MultiPoint", "LineString", "MultiLineString"})
_OTHER_GEOMETRIES = frozenset({"Polygon", "MultiPolygon"})

_POINT_BYTES = 16
_MAX_COORDINATE_M = 1000.0
_MAX_INTENSITY = 255.0
_MIN_PLAUSIBLE_SHARE = 0.9


class ItemKind(StrEnum):
    """Kinds of item that the gate understands."""

    JPEG = "jpeg"
    PNG = "png"
    GPX = "gpx"
    CSV_TRACK = "csv_track"
    GEOJSON_TRACK = "geojson_track"
    KITTI_POINTS = "kitti_points"
    JSON = "json"
    TEXT = "text"
    VIDEO = "video"
    HEIC = "heic"
    NMEA = "nmea"
    MCAP = "mcap"
    ROS1_BAG = "ros1_bag"
    ROS2_DB3 = "ros2_db3"
    PCD = "pcd"
    LAS = "las"
    LAZ = "laz"
    COPC = "copc"
    GEOJSON_MAP = "geojson_map"
    OSM_XML = "osm_xml"
    OSM_PBF = "osm_pbf"
    CAN_ASC = "can_asc"
    CAN_BLF = "can_blf"
    KITTI_OXTS = "kitti_oxts"
    KITTI_TIMESTAMPS = "kitti_timestamps"
    KITTI_TIMES = "kitti_times"
    KITTI_POSES = "kitti_poses"
    NUSCENES_TABLE = "nuscenes_table"
    NUSCENES_SWEEP = "nuscenes_sweep"


_CONTAINERS = {
    ContainerKind.MCAP: ItemKind.MCAP,
    ContainerKind.ROS1_BAG: ItemKind.ROS1_BAG,
    ContainerKind.ROS2_DB3: ItemKind.ROS2_DB3,
}
_CLOUDS = {
    CloudKind.PCD: ItemKind.PCD,
    CloudKind.LAS: ItemKind.LAS,
    CloudKind.LAZ: ItemKind.LAZ,
    CloudKind.COPC: ItemKind.COPC,
}
_KITTI: dict[KittiKind, ItemKind] = {
    "oxts": ItemKind.KITTI_OXTS,
    "timestamps": ItemKind.KITTI_TIMESTAMPS,
    "times": ItemKind.KITTI_TIMES,
    "poses": ItemKind.KITTI_POSES,
}


def large_kind(head: bytes) -> ItemKind | None:
    """Containers, point clouds, CAN logs and OSM data by their signature.

    Args:
        head: The file, or no less than its first 64 KiB.

    Raises:
        UnknownFormatError: It is of a kind that the gate knows and cannot treat.
    """
    container = sniff_container(head)
    if container is ContainerKind.CYBER_RECORD:
        raise UnknownFormatError(
            "Apollo cyber records cannot be read: their library needs a protobuf that does not live beside the "
            "others (got a cyber record, expected MCAP or a ROS bag)"
        )
    if container is not None:
        return _CONTAINERS[container]
    cloud = cloud_kind(head)
    if cloud is not None:
        return _CLOUDS[cloud]
    if is_osm_pbf(head):
        return ItemKind.OSM_PBF
    if head.startswith(_BLF):
        return ItemKind.CAN_BLF
    return ItemKind.CAN_ASC if _ASC.match(head) else None


def image_kind(content: bytes) -> ItemKind | None:
    """JPEG or PNG by signature."""
    if content.startswith(_JPEG):
        return ItemKind.JPEG
    return ItemKind.PNG if content.startswith(_PNG) else None


def heif_or_movie(content: bytes) -> ItemKind | None:
    """HEIC or video by the brands of an ISO base media file, or video by Matroska's header.

    Args:
        content: The file, or no less than its first 64 KiB.
    """
    if content.startswith(_MATROSKA):
        header = content[:_EBML_HEADER_BYTES]
        return ItemKind.VIDEO if any(kind in header for kind in _DOC_TYPES) else None
    if content[_BOX_TYPE] != b"ftyp":
        return None
    size = min(int.from_bytes(content[:4], "big"), 16 + _FIRST_BRANDS * _BRAND_BYTES, len(content))
    major = content[8:12]
    # The minor version between the major and the compatible brands is a number.
    compatible = {content[i : i + _BRAND_BYTES] for i in range(16, size - _BRAND_BYTES + 1, _BRAND_BYTES)}
    if major in _HEIF_BRANDS:
        return ItemKind.HEIC
    return ItemKind.VIDEO if ({major} | compatible) & _MOVIE_BRANDS else None


def is_early_quicktime(content: bytes) -> bool:
    """Whether the first box is one of those with which QuickTime files begin that have no brands."""
    return content[_BOX_TYPE] in _QUICKTIME_BOXES


def is_bare_stream(content: bytes, codec: Literal["h264", "hevc"]) -> bool:
    """Whether a byte stream (ITU-T H.264 and H.265, annex B) of the codec begins here."""
    code = next((code for code in _START_CODES if content.startswith(code)), None)
    if code is None or len(content) < len(code) + 2:
        return False
    unit = content[len(code)]
    if unit & 0x80:
        return False
    return unit & 0x1F in _H264_UNITS if codec == "h264" else unit >> 1 in _HEVC_UNITS


def xml_root(content: bytes) -> str | None:
    """Local name of the root element, or None if the content is not XML up to its first start tag.

    Raises:
        MalformedItemError: The XML carries a document type or entities, which none of our kinds has.
    """
    body = content.removeprefix(strict_json.BOM).lstrip()
    if not body.startswith((b"<", *_UTF16)):
        return None
    try:
        _, element = next(iter(iterparse(io.BytesIO(body), events=("start",), forbid_dtd=True)))
    except DefusedXmlException as error:
        raise MalformedItemError(
            f"XML carries a document type or entities (got {type(error).__name__})"
        ) from error
    except (ParseError, StopIteration, ValueError, LookupError):
        return None
    return str(element.tag).rpartition("}")[2]


def text_of(content: bytes) -> str | None:
    """The content as text, or None if it is not UTF-8 or holds control characters."""
    try:
        text = strict_json.decode_utf8(content)
    except MalformedItemError:
        return None
    return None if _CONTROL.search(text) else text


def text_kind(text: str, content: bytes) -> ItemKind:
    """JSON, GeoJSON track or map, nuScenes or KITTI table, CSV track, NMEA log or plain text.

    Raises:
        UnknownFormatError: It is a table that may hold a path, in a shape that cannot be treated.
    """
    if text.lstrip()[:1] in {"{", "["}:
        try:
            return json_kind(strict_json.parse(content, max_depth=MAX_JSON_DEPTH))
        except (MalformedItemError, LimitExceededError):
            return ItemKind.TEXT
    if is_nmea(text):
        return ItemKind.NMEA
    if has_position_columns(text) or has_grid_columns(text):
        return ItemKind.CSV_TRACK
    table = kitti_kind(content)
    if table is None and is_number_table(text):
        raise UnknownFormatError(
            "a table of numbers may hold a path and is of no known shape (got no columns of positions, expected "
            "latitude and longitude, easting and northing, or x, y and z)"
        )
    return ItemKind.TEXT if table is None else _KITTI[table]


def json_kind(document: Any) -> ItemKind:
    """GeoJSON is a map, or a track where it could be one drive; JSON that is no nuScenes table is metadata.

    Raises:
        UnknownFormatError: It is of nuScenes, and no table that can be treated.
    """
    if nuscenes_table(document) is not None:
        return ItemKind.NUSCENES_TABLE
    types = set(_geometry_types(document))
    if types and is_vector_map(document):
        return ItemKind.GEOJSON_MAP
    return ItemKind.GEOJSON_TRACK if _TRACK_GEOMETRIES & types else ItemKind.JSON


def has_position_columns(text: str) -> bool:
    """Whether the first non-empty line is a CSV header that names a latitude and a longitude."""
    header = next((line for line in text.splitlines() if line.strip()), "")
    for delimiter in _DELIMITERS:
        if delimiter not in header:
            continue
        names = [name.strip().lower() for name in next(csv.reader([header], delimiter=delimiter), [])]
        if any(map(_LATITUDE.search, names)) and any(map(_LONGITUDE.search, names)):
            return True
    return False


def points_fault(content: bytes) -> str | None:
    """Why the content cannot be a KITTI sweep (x, y, z in metres and intensity as little-endian float32)."""
    if len(content) % _POINT_BYTES:
        return f"{len(content)} bytes, not a multiple of {_POINT_BYTES}"
    points = np.frombuffer(content, dtype="<f4").reshape(-1, 4)
    with np.errstate(invalid="ignore"):
        plausible = (np.abs(points[:, :3]) <= _MAX_COORDINATE_M).all(axis=1)
        plausible &= (points[:, 3] >= 0.0) & (points[:, 3] <= _MAX_INTENSITY)
        plausible &= (points == 0.0).all(axis=1) | (np.abs(points) >= np.finfo(np.float32).tiny).any(axis=1)
    share = float(plausible.mean())
    return None if share >= _MIN_PLAUSIBLE_SHARE else f"only {share:.0%} of the points plausible"


def _geometry_types(node: Any) -> Iterator[str]:
    if not isinstance(node, dict):
        return
    kind = node.get("type")
    if kind == "FeatureCollection" and isinstance(node.get("features"), list):
        for feature in node["features"]:
            yield from _geometry_types(feature)
    elif kind == "Feature":
        yield from _geometry_types(node.get("geometry"))
    elif kind == "GeometryCollection" and isinstance(node.get("geometries"), list):
        for geometry in node["geometries"]:
            yield from _geometry_types(geometry)
    elif isinstance(kind, str) and kind in _TRACK_GEOMETRIES | _OTHER_GEOMETRIES and "coordinates" in node:
        yield kind
