"""Re-reading of what an APPROVED release shows: the processor's own positions, and shifted times.

That a fix lies far from its truth is not demanded of a recognised processor: how far it moves anything is secret.
The document is read as ``anonymize.geo.residual`` reads OFFSET tracks, by a grammar of its own.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from anonymize.errors import ResidualError
from anonymize.finding import FieldPath, Finding, FindingKind, IndexSpan
from anonymize.formats.track import Track
from anonymize.geo.approved_checks import Sample, ask
from anonymize.geo.crs import geodesic_m
from anonymize.geo.residual import _READERS, _read, _Released
from anonymize.geo.secrecy_processor import SecrecyProcessor
from anonymize.profile import TrackProfile
from anonymize.residual import ResidualReport

_SCANNER = "approved-residual@1"
_EQUAL_M = 0.01
_EQUAL_S = 0.0011
_LEAST_TIME_SHIFT_S = 30 * 86400.0


def scan_approved(
    content: bytes,
    media_type: str,
    *,
    original: Track,
    processor: SecrecyProcessor,
    shift_s: float,
    profile: TrackProfile,
) -> ResidualReport:
    """Scan a track that was released in APPROVED mode.

    1. The grammar holds. 2. There is one fix per true fix. 3. No elevation, unless the profile keeps it. 4. Every
    position is what the processor gives, asked once more, to 1 cm. 5. Every time is the true one plus the
    recording's shift, to 1 ms, and that is 30 days at least.

    Args:
        content: The released bytes.
        media_type: ``text/csv``, ``application/gpx+xml`` or ``application/geo+json``.
        original: The true fixes, index by index (``ApprovedTrack.source``).
        processor: The processor that the release went through.
        shift_s: Seconds by which times were to move.
        profile: Whether elevations are kept.

    Raises:
        ProcessorError: The processor does not answer.
        ResidualError: The media type is none that can be scanned.
    """
    if media_type not in _READERS:
        raise ResidualError(f"no scan for this release (got mode 'APPROVED' and {media_type!r})")
    released = _read(content, media_type)
    return ResidualReport(
        scanners=(_SCANNER,),
        residual=tuple(_scan(released, original, processor, shift_s, profile)),
        facts={"mode": "APPROVED", "fixes": len(released.lat) if released else 0},
    )


def _scan(
    released: _Released | None,
    original: Track,
    processor: SecrecyProcessor,
    shift_s: float,
    profile: TrackProfile,
) -> Iterator[Finding]:
    if released is None:
        yield _field(FindingKind.UNLISTED_FIELD, "grammar")
        return
    if len(released.lat) != len(original):
        span = IndexSpan(start=0, end=max(len(released.lat), len(original)))
        yield _finding(FindingKind.POSITION, span, "not aligned with the original")
        return
    if released.elevation and not profile.keep_elevation:
        yield _field(FindingKind.ELEVATION, "elevation")
    apart = np.zeros(len(original) - 1, dtype=bool)
    lat, lon, _ = ask(processor, Sample(lat=original.lat, lon=original.lon, height_m=None, joined=apart))
    yield from _where(
        ~(geodesic_m(lat, lon, released.lat, released.lon)[0] <= _EQUAL_M),
        FindingKind.POSITION,
        "not the processor's position",
    )
    timed = np.isfinite(released.time_s)
    wrong = np.abs(released.time_s - (original.time_s + shift_s)) > _EQUAL_S
    wrong |= np.isnan(original.time_s) | (abs(shift_s) < _LEAST_TIME_SHIFT_S)
    yield from _where(timed & wrong, FindingKind.TIMESTAMP, "not the shifted time")


def _where(bad: NDArray[np.bool_], kind: FindingKind, label: str) -> Iterator[Finding]:
    at = np.flatnonzero(bad)
    if len(at):
        yield _finding(kind, IndexSpan(start=int(at[0]), end=int(at[-1]) + 1), label)


def _finding(kind: FindingKind, where: IndexSpan, label: str) -> Finding:
    return Finding(kind=kind, where=where, confidence=1.0, detector=_SCANNER, label=label)


def _field(kind: FindingKind, path: str) -> Finding:
    return Finding(kind=kind, where=FieldPath(path=path), confidence=1.0, detector=_SCANNER)
