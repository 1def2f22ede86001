"""Places that a picture or a video states of itself, under a manifest of a system that its format does not know.

EXIF (``GPSMapDatum``), XMP, ISO 6709 and GPMF mean WGS-84, but devices sold in China write what their map service
gives them, in GCJ-02 or BD-09, and say WGS-84 all the same. Where the manifest declares one of those, a stated
place may be in either: half a kilometre apart, past the edge of a restricted zone.
"""

from anonymize.errors import UnknownCrsError
from anonymize.geo.crs import to_wgs84
from anonymize.geo.crs_names import BD09, GCJ02, canonical_name

Spot = tuple[float, float]


def is_ambiguous(crs: str) -> bool:
    """Whether a manifest of this system leaves open what a stated place is in."""
    return canonical_name(crs) in {GCJ02, BD09}


def places_meant(latitude: float | None, longitude: float | None, *, crs: str) -> tuple[Spot, ...]:
    """Where a stated place may be, degrees of EPSG:4326: as it stands, and as the manifest's system has it.

    Args:
        latitude: As stated, in degrees; None where nothing is.
        longitude: In degrees.
        crs: The system that the manifest declares.

    Raises:
        MalformedItemError: The coordinates are out of range, or the inverse is not unique there.
    """
    if latitude is None or longitude is None:
        return ()
    if not is_ambiguous(crs):
        return ((latitude, longitude),)
    lat, lon = to_wgs84([latitude], [longitude], crs)
    return ((latitude, longitude), (float(lat[0]), float(lon[0])))


def require_unambiguous(crs: str, what: str) -> None:
    """Require a manifest under which a stated place is in WGS-84.

    Raises:
        UnknownCrsError: It declares GCJ-02 or BD-09.
    """
    if is_ambiguous(crs):
        raise UnknownCrsError(
            f"{what} may be in WGS-84 or in the manifest's system (got {crs!r}; deliver it in a recording whose "
            "manifest declares WGS-84, if that is what it is in)"
        )
