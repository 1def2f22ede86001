"""The times at which a recording may be shown: the vehicle is known to be clear of restricted zones."""

import bisect
from collections.abc import Iterable
from enum import StrEnum

import numpy as np

from anonymize.errors import MalformedItemError
from anonymize.formats.track import Track
from anonymize.geo.zone_spans import ZoneSpan, zone_spans
from anonymize.geo.zones import ZoneSet
from anonymize.profile import ImageProfile

_NS = 1e-9


class Verdict(StrEnum):
    """What is known of a moment."""

    CLEAR = "clear"
    ZONE = "zone"
    UNKNOWN = "position unknown"


class ClearTimes:
    """Looks moments up in the spans at which zones may be met."""

    def __init__(
        self, *, zones: ZoneSet | None, reference: Track | None, profile: ImageProfile, attested: bool
    ) -> None:
        """Prepare the spans.

        Args:
            zones: The restricted zones; None where the operator has none: every moment is clear.
            reference: The true track of the vehicle.
            profile: How wrong a position may be and how far a camera sees.
            attested: Whether somebody attested that the recording is clear where its position is unknown.

        Raises:
            MalformedItemError: There are zones, no track with times, and no attestation.
        """
        self._tested = zones is not None
        self._attested = attested
        self._begin = self._end = 0.0
        self._gaps = {False: (0.0, 0.0), True: (0.0, 0.0)}
        self._near: tuple[ZoneSpan, ...] = ()
        self._seen: tuple[ZoneSpan, ...] = ()
        if zones is None:
            return
        timed = (
            np.flatnonzero(np.isfinite(reference.time_s)) if reference is not None else np.zeros(0, np.intp)
        )
        if reference is None or not len(timed):
            if not attested:
                raise MalformedItemError(
                    "the container cannot be held against zones (got no track with times, expected one or an "
                    "attestation)"
                )
            self._begin, self._end = 1.0, 0.0
            return
        way = reference.time_s[timed], reference.lat[timed], reference.lon[timed]
        self._begin, self._end = float(way[0].min()), float(way[0].max())
        error = profile.pose_error_m
        self._near = zone_spans(*way, zones, error, pose_error_m=error)
        self._seen = zone_spans(*way, zones, error + profile.view_distance_m, pose_error_m=error)

    def verdict(self, times_ns: Iterable[int], *, view: bool) -> tuple[Verdict, tuple[str, ...]]:
        """What is known of a message by all its times, and the kinds of the zones it meets.

        Args:
            times_ns: Nanoseconds; one that is not clear decides.
            view: Whether what a camera sees counts, beside where the vehicle is.
        """
        if not self._tested:
            return Verdict.CLEAR, ()
        spans, found = (self._seen if view else self._near), Verdict.CLEAR
        after, before = self._gaps[view]
        for time_ns in times_ns:
            time_s = time_ns * _NS
            if after < time_s < before:
                continue
            at = bisect.bisect_right(spans, time_s, key=_begin_of) - 1
            if not self._begin <= time_s <= self._end:
                if not self._attested:
                    found = Verdict.UNKNOWN
            elif at >= 0 and spans[at].holds(time_s):
                return Verdict.ZONE, tuple(kind.value for kind in spans[at].kinds)
            else:
                # Times come in order, more or less: what lies between the same spans needs no search.
                after = max(self._begin, spans[at].end_s) if at >= 0 else self._begin
                before = min(self._end, spans[at + 1].begin_s) if at + 1 < len(spans) else self._end
                self._gaps[view] = after, before
        return found, ()


def _begin_of(span: ZoneSpan) -> float:
    return span.begin_s
