"""A secrecy processor as the displacement of a release: the same moves for poses, sweeps, clouds and maps.

With it an ``OffsetPlan`` carries an APPROVED release through every channel that knows OFFSET: bodies turn as the
processor turns directions at their place, and what they see is moved point by point.
"""

from dataclasses import replace
from datetime import datetime

import numpy as np
from numpy.typing import ArrayLike

from anonymize.errors import LimitExceededError
from anonymize.formats.track import Track
from anonymize.geo.approved_checks import Sample, ask
from anonymize.geo.crs import Crs, from_wgs84, kind_of, to_wgs84
from anonymize.geo.displacement import KeyedOffset
from anonymize.geo.ellipsoid import FloatArray, wrap_degrees
from anonymize.geo.offset import OffsetEvidence, measure_positions, require_limits
from anonymize.geo.offset_plan import OffsetPlan, plan_offset
from anonymize.geo.secrecy_processor import SecrecyProcessor, require_attested
from anonymize.profile import TrackProfile


class ApprovedDisplacement(KeyedOffset):
    """What a processor does to positions, with the methods of a keyed offset, but no key and no inverse.

    Its checks run on the recording's track (``anonymize.geo.approved.approve_track``), not on every call.
    """

    def __init__(
        self,
        processor: SecrecyProcessor,
        profile: TrackProfile,
        *,
        now: datetime,
        certificate_sha256: str | None = None,
    ) -> None:
        """Take a processor whose attestation is in force.

        Raises:
            ProcessorError: It is not.
        """
        # The base derives a field from a key; here its place is taken by the processor.
        self.attestation = require_attested(processor, now=now, certificate_sha256=certificate_sha256)
        self.processor = processor
        self._keep_elevation = profile.keep_elevation

    def displace_in(
        self, x: ArrayLike, y: ArrayLike, z: ArrayLike | None, crs: Crs
    ) -> tuple[FloatArray, FloatArray, FloatArray | None]:
        """Process coordinates of any system and give them in the same; heights are the processor's.

        Heights go where the profile keeps none or the processor gives none; geocentric positions then come down
        to the ellipsoid.

        Raises:
            MalformedItemError: A coordinate is not finite or outside the system's area, before or after.
            ProcessorError: The processor does not answer as it has to.
            UnknownCrsError: The system is missing or unknown.
        """
        x, y = np.atleast_1d(x), np.atleast_1d(y)
        if z is None:
            return *from_wgs84(*self.displace(*to_wgs84(x, y, crs)), crs), None
        lat, lon, height = to_wgs84(x, y, crs, np.atleast_1d(z))
        out_lat, out_lon, out_height = ask(self.processor, _sample(lat, lon, height))
        if out_height is not None and self._keep_elevation:
            return from_wgs84(out_lat, out_lon, crs, out_height)
        if kind_of(crs) == "geocentric":
            return from_wgs84(out_lat, out_lon, crs, np.zeros_like(out_lat))
        return *from_wgs84(out_lat, out_lon, crs), None

    def invert(self, lat: ArrayLike, lon: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Refused: nobody inverts a secrecy processor here.

        Raises:
            LimitExceededError: Always.
        """
        del lat, lon
        raise LimitExceededError("a secrecy processor has no inverse here (got a call, expected none)")

    def _degrees(self, lat: FloatArray, lon: FloatArray) -> tuple[FloatArray, FloatArray]:
        out_lat, out_lon, _ = ask(self.processor, _sample(lat, lon, None))
        return out_lat - lat, wrap_degrees(out_lon - lon)


def plan_approved(
    track: Track,
    *,
    key: bytes,
    context: bytes,
    profile: TrackProfile,
    displacement: ApprovedDisplacement,
) -> OffsetPlan:
    """Trims and the shift of time as in OFFSET (``plan_offset``), with the processor's positions.

    Args:
        track: The cleansed track.
        key: The release's key, 32 bytes; for trims and times only.
        context: Names the recording within the release.
        profile: Parameters and limits.
        displacement: The processor.

    Raises:
        LimitExceededError: Nothing is left after trimming.
        ProfileError: The key has another length.
    """
    return replace(plan_offset(track, key=key, context=context, profile=profile), offset=displacement)


def measured(
    offset: KeyedOffset, lat: ArrayLike, lon: ArrayLike, *, profile: TrackProfile
) -> OffsetEvidence | None:
    """What a keyed offset does to positions, held to the profile's limits; None for a processor.

    The limits are those of the keyed offset. What a processor does is not measured: its figures are secret.

    Raises:
        LimitExceededError: A limit is missed.
    """
    if isinstance(offset, ApprovedDisplacement):
        return None
    evidence = measure_positions(offset, lat, lon)
    require_limits(evidence, profile)
    return evidence


def least_shift_m(offset: KeyedOffset, *, profile: TrackProfile) -> float:
    """How far in metres every released position must lie from its truth: nothing is demanded of a processor."""
    return 0.0 if isinstance(offset, ApprovedDisplacement) else profile.offset_min_shift_m


def is_approved(plan: object) -> bool:
    """Whether a plan's positions are a processor's: they may rightly lie near the truth."""
    return isinstance(plan, OffsetPlan) and isinstance(plan.offset, ApprovedDisplacement)


def _sample(lat: FloatArray, lon: FloatArray, height: FloatArray | None) -> Sample:
    return Sample(lat=lat, lon=lon, height_m=height, joined=np.zeros(max(len(lat) - 1, 0), dtype=bool))
