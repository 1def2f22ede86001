"""Clouds made by real encoders (laspy, pypcd4), with things planted in them that must not leave."""

import io
import json
import uuid
from collections.abc import Callable
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import laspy
import numpy as np
import pytest
from pypcd4 import Encoding, PointCloud

from anonymize.geo.crs import from_wgs84
from anonymize.geo.zones import ZoneSet
from anonymize.points.cleanse import cleanse_cloud
from anonymize.points.cloud import CloudTreated
from anonymize.points.kinds import CloudKind
from anonymize.profile import PointProfile, TrackProfile, shipped_profile

LAT, LON, UTM = 39.9, 116.4, "EPSG:32650"
PLANTED = "KT-Bridge-07"


@pytest.fixture(scope="session")
def shared(shared_data: Path) -> Path:
    return shared_data / "formats"


@pytest.fixture(scope="session")
def profile() -> PointProfile:
    return shipped_profile("cn-2026").profile.points


@pytest.fixture(scope="session")
def tracks() -> TrackProfile:
    return shipped_profile("cn-2026").profile.tracks


def site(count: int, *, spread_m: float = 60.0, seed: int = 3) -> np.ndarray:
    """Points about a place near Beijing in UTM zone 50N, rows of x, y, z, in whole centimetres."""
    rng = np.random.default_rng(seed)
    x, y = from_wgs84(np.array([LAT]), np.array([LON]), UTM)
    flat = rng.uniform(-spread_m, spread_m, (count, 2)) + np.array([x[0], y[0]])
    return np.round(np.column_stack([flat, rng.uniform(40.0, 55.0, count)]), 2)


def las_bytes(
    xyz: np.ndarray,
    *,
    point_format: int = 3,
    version: str | None = None,
    compressed: bool = False,
    crs: str | None = UTM,
    offsets: tuple[float, float, float] | None = None,
    evlr: bool = False,
) -> bytes:
    """A LAS or LAZ file by laspy in which every field says something."""
    header = laspy.LasHeader(point_format=point_format, version=version)
    header.scales, header.offsets = [0.01] * 3, offsets or np.floor(xyz.min(axis=0))
    header.system_identifier, header.generating_software = PLANTED, "SurveyTool " + PLANTED
    header.creation_date, header.file_source_id = date(2026, 3, 1), 77
    header.uuid = uuid.UUID("12345678123456781234567812345678")
    header.vlrs.append(laspy.VLR("surveyor", 9, PLANTED, PLANTED.encode()))
    header.add_extra_dim(laspy.ExtraBytesParams("reflectance", "f4", PLANTED))
    header.add_extra_dim(laspy.ExtraBytesParams("operator", "u2", PLANTED))
    if crs:
        laspy_crs(header, crs)
    cloud = laspy.LasData(header)
    rng = np.random.default_rng(1)
    cloud.xyz = xyz
    for name in cloud.point_format.dimension_names:
        if name not in {"X", "Y", "Z", "reflectance", "gps_time"}:
            cloud[name] = rng.integers(0, 2, len(xyz))
    cloud.intensity = rng.integers(0, 65536, len(xyz))
    cloud.return_number[:] = 1
    cloud["reflectance"] = rng.normal(0, 10, len(xyz))
    cloud.point_source_id = rng.integers(4000, 4003, len(xyz))
    if "gps_time" in cloud.point_format.dimension_names:
        cloud.gps_time = 3.9e8 + np.arange(len(xyz)) * 1e-3
    if evlr:
        cloud.evlrs = laspy.vlrs.vlrlist.VLRList([laspy.VLR("surveyor", 10, PLANTED, PLANTED.encode() * 10)])
    out = io.BytesIO()
    cloud.write(out, do_compress=compressed, laz_backend=laspy.LazBackend.Lazrs if compressed else None)
    return out.getvalue()


def laspy_crs(header: laspy.LasHeader, crs: str) -> None:
    """Let laspy state the reference system, as GeoTIFF keys or WKT by the point format."""
    from pyproj import CRS  # noqa: PLC0415 (what laspy takes)

    header.add_crs(CRS.from_user_input(crs))


def pcd_bytes(
    columns: dict[str, np.ndarray],
    *,
    encoding: str = "binary",
    viewpoint: tuple[float, ...] | None = None,
    comment: str = "",
) -> bytes:
    """A PCD file by pypcd4."""
    cloud = PointCloud.from_points(
        list(columns.values()), tuple(columns), [c.dtype for c in columns.values()]
    )
    if viewpoint:
        cloud.metadata = cloud.metadata.derive(viewpoint=viewpoint)
    out = io.BytesIO()
    cloud.save(out, Encoding(encoding))
    return comment.encode() + out.getvalue()


def sweep_columns(count: int = 500, *, reach_m: float = 80.0, seed: int = 5) -> dict[str, np.ndarray]:
    """x, y, z, intensity, ring and time of a sweep."""
    rng = np.random.default_rng(seed)
    flat = rng.uniform(-reach_m, reach_m, (count, 2)) / np.sqrt(2.0)
    return {
        "x": flat[:, 0].astype("f4"),
        "y": flat[:, 1].astype("f4"),
        "z": rng.uniform(-2, 5, count).astype("f4"),
        "intensity": rng.random(count).astype("f4"),
        "ring": rng.integers(0, 64, count).astype("u2"),
        "t": np.arange(count, dtype="u4"),
    }


def zone_at(lat: float, lon: float, half_m: float, *, kind: str = "MIL") -> ZoneSet:
    """A square zone without a margin about a position."""
    y, x = half_m / 111_200.0, half_m / (111_200.0 * np.cos(np.radians(lat)))
    ring = [
        [lon - x, lat - y],
        [lon + x, lat - y],
        [lon + x, lat + y],
        [lon - x, lat + y],
        [lon - x, lat - y],
    ]
    feature = {
        "type": "Feature",
        "properties": {"id": "zone-0", "kind": kind, "margin_m": 0.0},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }
    collection = {"type": "FeatureCollection", "name": "test", "version": 1, "features": [feature]}
    return ZoneSet.from_geojson(json.dumps(collection).encode())


Cleanse = Callable[..., tuple[CloudTreated, bytes]]


@pytest.fixture(name="cleanse")
def _cleanse(profile: PointProfile) -> Cleanse:
    def run(content: bytes, kind: CloudKind, **options: object) -> tuple[CloudTreated, bytes]:
        asked = {"zones": None, "place": None, "crs": None, "profile": profile} | options
        treated = cleanse_cloud(io.BytesIO(content), kind, **asked)
        return treated, b"".join(treated.chunks)

    return run


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    """The makers of this file: test folders are no packages."""
    return SimpleNamespace(
        lat=LAT, lon=LON, utm=UTM, planted=PLANTED, site=site, las=las_bytes, pcd=pcd_bytes, sweep=sweep_columns,
        zone=zone_at,
    )  # fmt: skip
