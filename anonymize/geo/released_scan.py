"""One search over every output of a release, whatever its kind, on top of the format's own residual scan.

It knows no format, so that nothing that a format's reader and writer agree to overlook escapes it (positions,
device ids, VINs). docs/residual-scan.md says what it sees and what it does not.
"""

from collections.abc import Iterable, Sequence

from numpy.typing import ArrayLike

from anonymize.errors import ResidualError
from anonymize.geo import positions
from anonymize.geo.position_index import PositionIndex
from anonymize.residual import ResidualReport
from anonymize.text import identifier_search
from anonymize.text.identifier_search import Identifiers

_PART = 1 << 20


def scan_released(
    chunks: Iterable[bytes],
    *,
    media_type: str,
    lat: ArrayLike,
    lon: ArrayLike,
    vins: Sequence[str] = (),
    device_ids: Sequence[str] = (),
    planted: Sequence[str] = (),
    shown: tuple[ArrayLike, ArrayLike] | None = None,
) -> ResidualReport:
    """Search one output for true positions and identifiers, in constant memory.

    Args:
        chunks: The output in order, in pieces of any size. Payloads that a format compresses are given
            decoded, each as an output of its own.
        media_type: Media type of the output; recorded in the report.
        lat: Latitudes of the true fixes in degrees, EPSG:4326, in the order of the drive; may be empty.
        lon: Longitudes in degrees.
        vins: VINs of the vehicle; others are found by their check digit.
        device_ids: Ids of the vehicle, the collector and its recorders.
        planted: Other strings that must not appear, such as stems of file names.
        shown: Latitudes and longitudes that an OFFSET release rightly shows; to 1 m they are no findings.

    Returns:
        At most 1000 findings of positions and 1000 of identifiers, with spans in bytes. ``facts``: bytes
        searched, fixes, positions shown, strings.

    Raises:
        MalformedItemError: The fixes are no positions.
        ResidualError: A string is too short to search for, or the output is empty.
    """
    return ReleasedScan(
        lat=lat,
        lon=lon,
        vins=vins,
        device_ids=device_ids,
        planted=planted,
        shown=shown,
    ).scan(chunks, media_type=media_type)


class ReleasedScan:
    """The same for many outputs of one recording: fixes and strings are prepared once. See ``scan_released``."""

    def __init__(
        self,
        *,
        lat: ArrayLike,
        lon: ArrayLike,
        vins: Sequence[str] = (),
        device_ids: Sequence[str] = (),
        planted: Sequence[str] = (),
        shown: tuple[ArrayLike, ArrayLike] | None = None,
        tolerance_m: float = positions.TOLERANCE_M,
    ) -> None:
        index = PositionIndex(lat, lon, tolerance_m=tolerance_m, shown=shown)
        self._fixes, self._searches = index.count, positions.Searches(index)
        self._identifiers = Identifiers(vins=vins, device_ids=device_ids, planted=planted)
        self._shown = 0 if shown is None else len(shown[0])  # type: ignore[arg-type]

    def scan(self, chunks: Iterable[bytes], *, media_type: str) -> ResidualReport:
        """Search one output. See ``scan_released``."""
        places, names = positions.Search(self._searches), identifier_search.Search(self._identifiers)
        for chunk in chunks:
            for at in range(0, len(chunk), _PART):
                places.feed(chunk[at : at + _PART])
                names.feed(chunk[at : at + _PART])
        if not places.length:
            raise ResidualError(f"an output to search has content (got none of {media_type!r})")
        return ResidualReport(
            scanners=(positions.DETECTOR, identifier_search.DETECTOR),
            residual=(*positions.as_findings(places.close()), *names.close()),
            facts={
                "media_type": media_type,
                "bytes": places.length,
                "fixes": self._fixes,
                "shown": self._shown,
                "strings": self._identifiers.count,
            },
        )
