"""APPROVED mode: positions as a secrecy processor that the state recognises gives them, checked and attested.

Only this mode may lower a class (DESIGN.md §4, COMPLIANCE rule 8). Fleetgate knows nothing of the transform. It
demands an attestation that is in force, refuses a processor that contradicts itself or gives what anybody can
compute (rule 9), and lets positions out that are the processor's own to 1 cm. How far positions moved is no
evidence here: with the true positions it would tell the transform, so no figure of it leaves these functions.
"""

import json
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from anonymize.errors import LimitExceededError, ProcessorError
from anonymize.formats.track import Track
from anonymize.geo.approved_checks import (
    Processed,
    Sample,
    apart_m,
    ask,
    release_checks,
    require_passed,
)
from anonymize.geo.approved_gradient import gradient_checks
from anonymize.geo.crs import Crs, from_wgs84, kind_of, to_wgs84
from anonymize.geo.ellipsoid import FloatArray
from anonymize.geo.secrecy_processor import ProcessorAttestation, SecrecyProcessor, require_attested

_AGREE_M = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovedEvidence:
    """What stands behind processed positions.

    Attributes:
        attestation: What the processor's maker states, in force when it ran.
        checks: Names of the checks that it passed on these positions.
        positions: How many positions it processed.
    """

    attestation: ProcessorAttestation
    checks: tuple[str, ...]
    positions: int

    def facts(self) -> dict[str, Any]:
        """For the dossier; ``secrecy_tech_id`` is what policy asks for."""
        return {
            "secrecy_tech_id": self.attestation.secrecy_tech_id,
            "attestation": self.attestation.as_dict(),
            "checks": list(self.checks),
            "positions": self.positions,
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ApprovedTrack:
    """A processed track.

    Attributes:
        track: What is released, in degrees of the processor's own system.
        source: The true fixes, index by index those of ``track``; for the residual scan.
        evidence: What stands behind it.
    """

    track: Track
    source: Track = field(repr=False)
    evidence: ApprovedEvidence


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ApprovedPositions:
    """Processed coordinates in the system that they came in.

    Attributes:
        first: Latitude in degrees, easting, X, or east.
        second: Longitude in degrees, northing, Y, or north.
        third: Height, Z, or up; None where none was given or the processor gives none.
        evidence: What stands behind them.
    """

    first: FloatArray
    second: FloatArray
    third: FloatArray | None
    evidence: ApprovedEvidence


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ProcessorSample:
    """Fixes before and after, which the operator keeps as proof. Secret: the caller seals ``content()``."""

    before: tuple[tuple[float, float], ...] = field(repr=False)
    after: tuple[tuple[float, float], ...] = field(repr=False)

    def content(self) -> bytes:
        """JSON: ``before`` (true) and ``after``, lists of [latitude, longitude] in degrees."""
        return json.dumps({"before": self.before, "after": self.after}, separators=(",", ":")).encode()


def approve_track(
    track: Track,
    *,
    processor: SecrecyProcessor,
    now: datetime,
    shift_s: float,
    certificate_sha256: str | None = None,
) -> ApprovedTrack:
    """Process a track.

    1. The attestation is complete and in force. 2. Positions are processed, and pass every check of
    ``approved_checks`` and ``approved_gradient``. 3. Elevations are processed where there are some, and agree
    with that. 4. Every time is shifted.

    Args:
        track: The cleansed track; ends are trimmed by the caller, as in OFFSET (``plan_offset(...).kept``).
        processor: The processor.
        now: With time zone.
        shift_s: Seconds added to every time: ``anonymize.geo.offset_plan.time_shift_s``. Secret.
        certificate_sha256: See ``require_attested``.

    Raises:
        ProcessorError: The processor is not attested now, fails, or fails a check.
    """
    steps = np.diff(track.segment) == 0
    evidence, (lat, lon, _) = _processed(
        Sample(lat=track.lat, lon=track.lon, height_m=None, joined=steps),
        processor=processor,
        now=now,
        certificate_sha256=certificate_sha256,
    )
    moved = replace(
        track,
        lat=lat,
        lon=lon,
        time_s=track.time_s + shift_s,
        elevation_m=_elevations(track, processor, (lat, lon, None)),
        dropped=(),
    )
    return ApprovedTrack(track=moved, source=track, evidence=evidence)


def approve_positions(
    first: ArrayLike,
    second: ArrayLike,
    third: ArrayLike | None = None,
    *,
    crs: Crs,
    processor: SecrecyProcessor,
    now: datetime,
    certificate_sha256: str | None = None,
) -> ApprovedPositions:
    """Process coordinates of any system (``anonymize.geo.crs.to_wgs84``) that are no track.

    What the processor gives stands in the place of degrees, EPSG:4326, on the way back into the system, so that
    the same ground point lands at the same place in whatever system it comes. In a local frame the origin stays;
    it is a true position and must not be released.

    Args:
        first: Latitude in degrees, easting, X, or east.
        second: Longitude in degrees, northing, Y, or north.
        third: Height, Z, or up.
        crs: Their system.
        processor: The processor.
        now: With time zone.
        certificate_sha256: See ``require_attested``.

    Raises:
        LimitExceededError: There are no positions.
        MalformedItemError: A coordinate is not finite or outside the system's area, before or after.
        ProcessorError: The processor is not attested now, fails, or fails a check.
        UnknownCrsError: The system is missing or unknown.
    """
    x, y = np.atleast_1d(first), np.atleast_1d(second)
    height: FloatArray | None = None
    if third is None:
        lat, lon = to_wgs84(x, y, crs)
    else:
        lat, lon, height = to_wgs84(x, y, crs, np.atleast_1d(third))
    if lat.ndim != 1 or not lat.size:
        raise LimitExceededError(f"positions are processed in one dimension, at least one (got {lat.shape})")
    evidence, (out_lat, out_lon, out_height) = _processed(
        Sample(lat=lat, lon=lon, height_m=height, joined=np.zeros(len(lat) - 1, dtype=bool)),
        processor=processor,
        now=now,
        certificate_sha256=certificate_sha256,
    )
    if out_height is None and kind_of(crs) == "geocentric":
        out_height = np.zeros_like(out_lat)
    if out_height is None:
        made: tuple[FloatArray, ...] = (*from_wgs84(out_lat, out_lon, crs),)
    else:
        made = from_wgs84(out_lat, out_lon, crs, out_height)
    return ApprovedPositions(
        first=made[0], second=made[1], third=made[2] if out_height is not None else None, evidence=evidence
    )


def sample_of(before: Track, after: Track, count: int) -> ProcessorSample:
    """Fixes before and after at even places, the first and the last among them.

    Args:
        before: The true fixes (``ApprovedTrack.source``).
        after: The processed ones, index by index.
        count: How many at most.

    Raises:
        LimitExceededError: ``count`` is not positive.
        ProcessorError: The tracks differ in length.
    """
    if count < 1:
        raise LimitExceededError(f"a sample holds fixes (got {count}, expected at least 1)")
    if len(before) != len(after):
        raise ProcessorError(f"tracks of a sample have one length (got {len(before)} and {len(after)})")
    index = np.unique(np.linspace(0, len(before) - 1, count).round().astype(np.intp))

    def pairs(track: Track) -> tuple[tuple[float, float], ...]:
        return tuple(zip(track.lat[index].tolist(), track.lon[index].tolist(), strict=True))

    return ProcessorSample(before=pairs(before), after=pairs(after))


def _processed(
    sample: Sample, *, processor: SecrecyProcessor, now: datetime, certificate_sha256: str | None
) -> tuple[ApprovedEvidence, Processed]:
    attestation = require_attested(processor, now=now, certificate_sha256=certificate_sha256)
    out = ask(processor, sample)
    checks = (*release_checks(processor, sample, out), *gradient_checks(processor, sample))
    require_passed(checks)
    evidence = ApprovedEvidence(
        attestation=attestation, checks=tuple(c.name for c in checks), positions=len(sample.lat)
    )
    return evidence, out


def _elevations(track: Track, processor: SecrecyProcessor, out: Processed) -> FloatArray:
    """Processed elevations where the track has some; NaN elsewhere, and where the processor gives none."""
    made = np.full(len(track), np.nan)
    known = np.flatnonzero(np.isfinite(track.elevation_m))
    if not len(known):
        return made
    some = Sample(
        lat=track.lat[known],
        lon=track.lon[known],
        height_m=track.elevation_m[known],
        joined=np.zeros(len(known) - 1, dtype=bool),
    )
    answer = ask(processor, some)
    apart = apart_m((*answer[:2], None), out, known)
    if not apart <= _AGREE_M:
        raise ProcessorError(
            f"the secrecy processor moves positions with heights elsewhere "
            f"(got {apart:.4g} m, expected at most {_AGREE_M:g})"
        )
    if answer[2] is not None:
        made[known] = answer[2]
    return made
