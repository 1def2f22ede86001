"""nuScenes tables: which is which, by their members, and the frame of their maps.

Schema: github.com/nutonomy/nuscenes-devkit, docs/schema_nuscenes.md, version 1.0. A table is a JSON array of
objects. Positions are metres in the frame of a location's map, whose origin is published: they are absolute.
"""

import hmac
from collections.abc import Mapping
from typing import Any

from anonymize.errors import UnknownCrsError, UnknownFormatError
from anonymize.geo.enu_frame import EnuFrame
from anonymize.geo.prf import subkey

FRAME_ERROR_M = 40.0
"""How far a place on a map may lie from where its frame puts it here, within 6 km of the origin.

Origins are published, axes are only said to be east and north, and the devkit reads the metres on a sphere: by up
to 0.7 % otherwise than on the ellipsoid.
"""

TABLES: Mapping[str, frozenset[str]] = {
    "log": frozenset({"token", "logfile", "vehicle", "date_captured", "location"}),
    "ego_pose": frozenset({"token", "timestamp", "rotation", "translation"}),
    "calibrated_sensor": frozenset({"token", "sensor_token", "translation", "rotation", "camera_intrinsic"}),
    "sample_data": frozenset(
        {"token", "sample_token", "ego_pose_token", "calibrated_sensor_token", "timestamp", "fileformat",
         "is_key_frame", "height", "width", "filename", "prev", "next"}
    ),
    "sample": frozenset({"token", "timestamp", "scene_token", "prev", "next"}),
    "scene": frozenset(
        {"token", "name", "description", "log_token", "nbr_samples", "first_sample_token", "last_sample_token"}
    ),
    "sample_annotation": frozenset(
        {"token", "sample_token", "instance_token", "attribute_tokens", "visibility_token", "translation", "size",
         "rotation", "num_lidar_pts", "num_radar_pts", "prev", "next"}
    ),
    "instance": frozenset(
        {"token", "category_token", "nbr_annotations", "first_annotation_token", "last_annotation_token"}
    ),
    "map": frozenset({"token", "log_tokens", "category", "filename"}),
    "sensor": frozenset({"token", "channel", "modality"}),
    "visibility": frozenset({"token", "level", "description"}),
    "category": frozenset({"token", "name", "description"}),
}  # fmt: skip
"""Members of the rows of each table. ``attribute`` has those of ``category`` and is treated as one."""

ORIGINS: Mapping[str, tuple[float, float]] = {
    "boston-seaport": (42.336849169438615, -71.05785369873047),
    "singapore-onenorth": (1.2882100868743724, 103.78475189208984),
    "singapore-hollandvillage": (1.2993652317780957, 103.78217697143555),
    "singapore-queenstown": (1.2782562240223188, 103.76741409301758),
}
"""Latitude and longitude of the origin of each location's map, degrees."""

CRS_PREFIX = "nuscenes:"

_TOKEN_BYTES = 16
_MAP_EXPANSION = frozenset({"polygon", "line", "node"})
_MAP_LAYERS = frozenset({"canvas_edge", "road_segment", "lane", "drivable_area", "arcline_path_3"})
_CAN_BUS = "utime"
_TELLING = frozenset(
    {"token", "sample_token", "sample_data_token", "ego_pose_token", "calibrated_sensor_token", _CAN_BUS}
)


def nuscenes_table(document: Any) -> str | None:
    """The name of the table that a JSON document is; None where it is nothing of nuScenes.

    Raises:
        UnknownFormatError: It is of nuScenes, or of its extensions, but no table that can be treated: a map
            expansion, CAN bus data, lidar segmentation, nuImages, or rows that lack members.
    """
    if isinstance(document, dict):
        if document.keys() >= _MAP_EXPANSION and document.keys() & _MAP_LAYERS:
            raise UnknownFormatError(
                "nuScenes map expansions cannot be treated (got one, expected GeoJSON or OSM maps)"
            )
        if any(isinstance(v, list) and _tells(v) for v in document.values()):
            raise UnknownFormatError("nuScenes data of an unknown kind (got rows within an object)")
        return None
    if not isinstance(document, list) or not _tells(document):
        return None
    if any(isinstance(row, dict) and _CAN_BUS in row for row in document):
        raise UnknownFormatError("nuScenes CAN bus data cannot be treated (got rows with 'utime')")
    members = [frozenset(row) if isinstance(row, dict) else frozenset() for row in document]
    for name, expected in TABLES.items():
        if members[0] >= expected:
            missing = next((i for i, found in enumerate(members) if not found >= expected), None)
            if missing is not None:
                lacks = sorted(expected - members[missing])
                raise UnknownFormatError(f"row {missing} is no row of nuScenes' {name} (it lacks {lacks})")
            return name
    raise UnknownFormatError(
        f"a nuScenes table of an unknown kind (got rows with {len(members[0])} members, "
        f"expected {', '.join(sorted(TABLES))})"
    )


def map_frame(location: str | None) -> EnuFrame:
    """The frame of a location's map: metres east and north of its published origin.

    Args:
        location: As ``log.json`` names it, or a manifest's system ``nuscenes:LOCATION``.

    Raises:
        UnknownCrsError: It is missing, or none of the four (COMPLIANCE rule 2).
    """
    origin = ORIGINS.get((location or "").removeprefix(CRS_PREFIX))
    if origin is None:
        raise UnknownCrsError(
            f"the location of nuScenes poses is missing or unknown (got {location!r}, expected {sorted(ORIGINS)})"
        )
    return EnuFrame(lat0=origin[0], lon0=origin[1])


class Tokens:
    """New names for the tokens of one recording in one release: the same in all of its tables."""

    def __init__(self, key: bytes, context: bytes) -> None:
        """Take the release's key (32 bytes) and what names the recording within the release.

        Raises:
            ProfileError: The key has another length.
        """
        self._key = subkey(key, "nuscenes token", context)

    def __repr__(self) -> str:
        return "Tokens(<secret>)"

    def of(self, token: str, part: int | None = None) -> str:
        """A token of 32 hexadecimal digits; the empty token stays empty.

        Args:
            token: The token as it came.
            part: Number of a clip where what the token names must not join several of them.
        """
        if not token:
            return ""
        own = b"" if part is None else part.to_bytes(8, "big")
        text = len(own).to_bytes(1, "big") + own + token.encode()
        return hmac.digest(self._key, text, "sha256")[:_TOKEN_BYTES].hex()


def _tells(rows: list[Any]) -> bool:
    """Whether any row has a member that only nuScenes and its extensions have."""
    return any(isinstance(row, dict) and row.keys() & _TELLING for row in rows)
