"""Reference systems that released clouds may name: their definitions tell nothing of the place of a site."""

import numpy as np

from anonymize.errors import UnknownCrsError
from anonymize.points.georeference import Georeference, geo_keys
from anonymize.points.las_layout import CRS_USER, GEO_KEYS_ID, WKT_ID

_UTM_NORTH, _UTM_SOUTH, _ZONES = 32600, 32700, 60
_GEOGRAPHIC = {
    4326: ("WGS 84", "WGS_1984", "WGS 84", 298.257223563, 6326),
    4490: ("China Geodetic Coordinate System 2000", "China_2000", "CGCS2000", 298.257222101, 1043),
}


def released_system(georeference: Georeference, lat: float, lon: float, *, wkt: bool) -> Georeference:
    """The system in which an offset cloud leaves: its own where it is registered, else UTM on WGS-84.

    A file may spell out a system of its own, whose parameters tell the place of a site.

    Args:
        georeference: The cloud's own system.
        lat: A displaced latitude of the cloud in degrees, EPSG:4326.
        lon: Its longitude.
        wkt: Whether the file must give the system as WKT (LAS point formats from 6 on).
    """
    code = georeference.code
    if code is not None and (not wkt or definition(code)):
        return georeference
    zone = int(np.clip((lon + 180.0) // 6.0 + 1.0, 1.0, float(_ZONES)))
    return Georeference.of(f"EPSG:{(_UTM_NORTH if lat >= 0.0 else _UTM_SOUTH) + zone}")


def crs_records(georeference: Georeference, *, wkt: bool) -> tuple[tuple[str, int, bytes], ...]:
    """The VLR that names a system which :func:`released_system` gave.

    Raises:
        UnknownCrsError: It is another one.
    """
    code = georeference.code
    if code is None or (wkt and not definition(code)):
        raise UnknownCrsError(f"a release names registered systems (got {georeference.shown})")
    if wkt:
        return ((CRS_USER, WKT_ID, definition(code).encode("ascii") + b"\x00"),)
    return ((CRS_USER, GEO_KEYS_ID, geo_keys(code, geographic=georeference.geographic)),)


def definition(code: int) -> str:
    """WKT (OGC 01-009) of WGS-84, of CGCS2000 and of UTM zones on WGS-84; empty for any other code."""
    if code in _GEOGRAPHIC:
        return _geographic(code)
    south = _UTM_SOUTH < code <= _UTM_SOUTH + _ZONES
    zone = code - (_UTM_SOUTH if south else _UTM_NORTH)
    if not 0 < zone <= _ZONES:
        return ""
    return (
        f'PROJCS["WGS 84 / UTM zone {zone}{"S" if south else "N"}",{_geographic(4326)},'
        f'PROJECTION["Transverse_Mercator"],PARAMETER["latitude_of_origin",0],'
        f'PARAMETER["central_meridian",{zone * 6 - 183}],PARAMETER["scale_factor",0.9996],'
        f'PARAMETER["false_easting",500000],PARAMETER["false_northing",{10_000_000 if south else 0}],'
        f'UNIT["metre",1,AUTHORITY["EPSG","9001"]],AXIS["Easting",EAST],AXIS["Northing",NORTH],'
        f'AUTHORITY["EPSG","{code}"]]'
    )


def _geographic(code: int) -> str:
    name, datum, spheroid, flattening, datum_code = _GEOGRAPHIC[code]
    return (
        f'GEOGCS["{name}",DATUM["{datum}",SPHEROID["{spheroid}",6378137,{flattening}],'
        f'AUTHORITY["EPSG","{datum_code}"]],PRIMEM["Greenwich",0,AUTHORITY["EPSG","8901"]],'
        f'UNIT["degree",0.0174532925199433,AUTHORITY["EPSG","9122"]],AUTHORITY["EPSG","{code}"]]'
    )


DEFINITIONS = frozenset(
    definition(code).encode("ascii") + b"\x00"
    for code in (
        *_GEOGRAPHIC,
        *range(_UTM_NORTH + 1, _UTM_NORTH + _ZONES + 1),
        *range(_UTM_SOUTH + 1, _UTM_SOUTH + _ZONES + 1),
    )
)
