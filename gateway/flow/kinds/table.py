"""Which handler takes which kind."""

from anonymize.errors import UnknownFormatError
from anonymize.formats.identify import ItemKind
from gateway.flow.kinds.can_logs import CanHandler
from gateway.flow.kinds.clouds import CloudHandler
from gateway.flow.kinds.containers import ContainerHandler
from gateway.flow.kinds.documents import DocumentHandler
from gateway.flow.kinds.handling import ItemHandler
from gateway.flow.kinds.images import ImageHandler
from gateway.flow.kinds.kitti_poses import PosesHandler
from gateway.flow.kinds.kitti_times import TimesHandler
from gateway.flow.kinds.layouts import OxtsHandler
from gateway.flow.kinds.maps import MapHandler
from gateway.flow.kinds.nuscenes import NuscenesTableHandler
from gateway.flow.kinds.nuscenes_sweeps import NuscenesSweepHandler
from gateway.flow.kinds.tracks import TrackHandler
from gateway.flow.kinds.videos import VideoHandler

_CLOUDS, _DOCUMENTS, _IMAGES, _TRACKS = CloudHandler(), DocumentHandler(), ImageHandler(), TrackHandler()
_MAPS = MapHandler()
_CONTAINERS = ContainerHandler()
_CAN_LOGS = CanHandler()
_TIMES = TimesHandler()
_HANDLERS: dict[ItemKind, ItemHandler] = {
    ItemKind.JPEG: _IMAGES,
    ItemKind.PNG: _IMAGES,
    ItemKind.HEIC: _IMAGES,
    ItemKind.VIDEO: VideoHandler(),
    ItemKind.GPX: _TRACKS,
    ItemKind.CSV_TRACK: _TRACKS,
    ItemKind.GEOJSON_TRACK: _TRACKS,
    ItemKind.KITTI_POINTS: _CLOUDS,
    ItemKind.MCAP: _CONTAINERS,
    ItemKind.ROS1_BAG: _CONTAINERS,
    ItemKind.ROS2_DB3: _CONTAINERS,
    ItemKind.NMEA: _TRACKS,
    ItemKind.PCD: _CLOUDS,
    ItemKind.LAS: _CLOUDS,
    ItemKind.LAZ: _CLOUDS,
    ItemKind.COPC: _CLOUDS,
    ItemKind.GEOJSON_MAP: _MAPS,
    ItemKind.OSM_XML: _MAPS,
    ItemKind.OSM_PBF: _MAPS,
    ItemKind.CAN_ASC: _CAN_LOGS,
    ItemKind.CAN_BLF: _CAN_LOGS,
    ItemKind.KITTI_OXTS: OxtsHandler(),
    ItemKind.KITTI_TIMESTAMPS: _TIMES,
    ItemKind.KITTI_TIMES: _TIMES,
    ItemKind.KITTI_POSES: PosesHandler(),
    ItemKind.NUSCENES_TABLE: NuscenesTableHandler(),
    ItemKind.NUSCENES_SWEEP: NuscenesSweepHandler(),
    ItemKind.JSON: _DOCUMENTS,
    ItemKind.TEXT: _DOCUMENTS,
}

NAMING_KINDS = frozenset({ItemKind.NUSCENES_TABLE})
"""Kinds whose items name other items of their release: they are unlinked after these."""

ALONG_THE_WAY_KINDS = frozenset(
    {
        ItemKind.GPX,
        ItemKind.CSV_TRACK,
        ItemKind.GEOJSON_TRACK,
        ItemKind.NMEA,
        ItemKind.MCAP,
        ItemKind.ROS1_BAG,
        ItemKind.ROS2_DB3,
        ItemKind.KITTI_OXTS,
        ItemKind.KITTI_POSES,
    }
)
"""Kinds whose items may show displaced places of the way in absolute coordinates, and leave by themselves."""

_TREATED: dict[ItemKind, ItemKind] = {
    ItemKind.HEIC: ItemKind.JPEG,
    ItemKind.COPC: ItemKind.LAZ,
    ItemKind.ROS1_BAG: ItemKind.MCAP,
    ItemKind.ROS2_DB3: ItemKind.MCAP,
}


def handler_of(kind: ItemKind) -> ItemHandler:
    """The handler of a kind.

    Raises:
        UnknownFormatError: The gate has none.
    """
    handler = _HANDLERS.get(kind)
    if handler is None:
        raise UnknownFormatError(f"no reader for this kind (got {kind.value!r})")
    return handler


def kind_when_treated(kind: ItemKind) -> ItemKind:
    """The kind that an item of a kind has after the first pass."""
    return _TREATED.get(kind, kind)
