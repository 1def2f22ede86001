"""GPS/IMU records of KITTI folders: cut, then unlinked by the track that they are joined to."""

from collections.abc import Sequence
from dataclasses import replace
from typing import BinaryIO, ClassVar

import numpy as np

from anonymize.errors import MalformedItemError, UnknownCrsError, UnknownFormatError
from anonymize.finding import FindingKind
from anonymize.formats.identify import ItemKind
from anonymize.formats.track import Track, number_segments
from anonymize.geo.clips import ClipPlan
from anonymize.geo.cut import cut_track
from anonymize.geo.offset_plan import OffsetPlan
from anonymize.geo.zones import ZoneSet
from anonymize.layouts.kitti_residual import scan_oxts
from anonymize.layouts.oxts import (
    MEDIA_TYPE_LOCAL,
    MEDIA_TYPE_OFFSET,
    STORED_COLUMNS,
    Oxts,
    UnlinkedOxts,
    cleanse_oxts,
    local_oxts,
    offset_oxts,
    read_oxts,
    read_stored_oxts,
)
from anonymize.residual import ResidualReport
from gateway.errors import HeldError
from gateway.flow.gate import Gate
from gateway.flow.kinds.displaced import settled
from gateway.flow.kinds.handling import (
    Cleansing,
    Examination,
    Outcome,
    Progress,
    Unlinked,
    Unlinking,
    cut_whole,
    placed,
    ready,
)
from gateway.flow.kinds.surroundings import Surroundings
from gateway.flow.kinds.tracks import WGS84, examine_track, require_clean
from gateway.flow.recording import Classified, Cleansed, DataClass, Level, ReleaseMode

_STORED = ",".join(STORED_COLUMNS).encode()
_LONGEST_PAUSE = 2.5
"""A pause of more than this many usual ones ends a segment: what was cut in a zone leaves such a pause."""


class OxtsHandler:
    """GPS/IMU records of KITTI's raw recordings, one a file; the manifest says when each was taken."""

    states_tracks: ClassVar[bool] = True

    def examine(
        self, gate: Gate, kind: ItemKind, original: BinaryIO, *, crs: str, zones: ZoneSet | None
    ) -> Examination:
        """See ``ItemHandler``.

        Raises:
            UnknownCrsError: The manifest declares another system than that of such records.
            UnknownFormatError: The file holds several records, whose times nothing states.
        """
        (track,) = self.tracks(gate, kind, original, crs=crs)
        return examine_track(track, zones)

    def tracks(self, gate: Gate, kind: ItemKind, original: BinaryIO, *, crs: str) -> tuple[Track, ...]:
        """See ``ItemHandler``; an original states no time (``dated``)."""
        del kind
        content = original.read()
        if content.startswith(_STORED):
            return (read_stored_oxts(content, profile=gate.profile.profile.tracks).track(),)
        return (_read(gate, content, captured=None, crs=crs).track(),)

    def treat(
        self,
        gate: Gate,
        item: Classified,
        original: BinaryIO,
        surroundings: Surroundings,
        progress: Progress,
    ) -> Cleansing:
        """See ``ItemHandler``.

        Raises:
            HeldError: The manifest does not say when the record was taken, or no zone file is installed.
        """
        del progress
        zones = surroundings.require_zones().zones
        captured = surroundings.captured.get(item.quarantined.item)
        if captured is None:
            raise HeldError(
                "time_unknown",
                "a GPS/IMU record has no time of its own (got no captured_at in the manifest, expected one)",
            )
        profile = gate.profile.profile.tracks
        oxts = _read(gate, original.read(), captured=captured, crs=str(item.facts["crs"]))
        treated = cleanse_oxts(oxts, zones=zones, profile=profile)
        if treated.dropped:
            return cut_whole(item, treated.findings, "tested")
        again = cut_track(read_stored_oxts(treated.content, profile=profile).track(), zones, profile=profile)
        report = ResidualReport(
            scanners=("re-read-and-zone-test",),
            residual=tuple(f for f in again.findings if f.kind is FindingKind.RESTRICTED_ZONE),
        )
        return ready(
            Outcome(
                treated=treated,
                residual=report,
                zone_check="tested",
                position_handling="raw",
                level=Level.S3_SENSITIVE_GEO,
            )
        )

    def unlink(self, gate: Gate, cleansed: Cleansed, treated: BinaryIO, unlinking: Unlinking) -> Unlinked:
        """See ``ItemHandler``."""
        del cleansed
        profile = gate.profile.profile.tracks
        oxts = read_stored_oxts(treated.read(), profile=profile)
        plan, where = unlinking.plan(), placed(unlinking)
        if plan is None:
            raise MalformedItemError("nothing places the record (got no timed track, expected one)")
        moved = _moved(gate, oxts, plan)
        lat, lon = moved.source.values[:, 0], moved.source.values[:, 1]
        report = require_clean(
            scan_oxts(
                moved.content, lat=lat, lon=lon, time_s=moved.source.time_s, plan=plan, profile=profile
            ),
            "GPS/IMU record",
        )
        known = settled(gate, unlinking, report, source=moved.source.track(), evidence=moved.evidence)
        local, approved = isinstance(plan, ClipPlan), unlinking.mode is ReleaseMode.APPROVED
        return Unlinked(
            chunks=[moved.content],
            extension="csv" if local else "txt",
            media_type=MEDIA_TYPE_LOCAL if local else MEDIA_TYPE_OFFSET,
            data_class=DataClass.TRAJ_REL if local else DataClass.TRAJ_ABS,
            position_handling=unlinking.mode.value.lower(),
            absolute_time="stripped" if local else "shifted",
            settle=lambda _: known,
            placed=where,
            level=Level.S1_PROCESSED if approved else None,
            searched="identifiers" if approved else "everything",
        )


def dated(tracks: Sequence[Track], captured: float | None) -> list[Track]:
    """Tracks of one fix without a time, at the time of the manifest; POSIX seconds, None where unknown."""
    if captured is None:
        return list(tracks)
    return [replace(track, time_s=np.full(len(track), captured)) for track in tracks]


def joined_fixes(tracks: Sequence[Track]) -> list[Track]:
    """The fixes of several files as one track in order of time; those without a time stay alone.

    A segment ends at every pause of more than 2.5 usual ones, so that no way is assumed through what was cut.
    """
    timed = [track for track in tracks if np.isfinite(track.time_s).all()]
    alone = [track for track in tracks if not np.isfinite(track.time_s).all()]
    if not timed:
        return alone
    time_s = np.concatenate([track.time_s for track in timed])
    order = np.argsort(time_s, kind="stable")
    time_s = time_s[order]
    pauses = np.diff(time_s)
    breaks = np.zeros(len(time_s), dtype=bool)
    if len(pauses):
        breaks[1:] = pauses > _LONGEST_PAUSE * np.median(pauses)
    lat, lon, elevation_m, speed_mps = (
        np.concatenate([getattr(track, name) for track in timed])[order]
        for name in ("lat", "lon", "elevation_m", "speed_mps")
    )
    joined = Track(
        lat=lat,
        lon=lon,
        time_s=time_s,
        elevation_m=elevation_m,
        speed_mps=speed_mps,
        segment=number_segments(breaks, time_s),
        crs=WGS84,
    )
    return [joined, *alone]


def _read(gate: Gate, content: bytes, *, captured: float | None, crs: str) -> Oxts:
    if crs != WGS84:
        raise UnknownCrsError(f"GPS/IMU records of KITTI are {WGS84} (got a manifest of {crs!r})")
    oxts = read_oxts(content, time_s=None, profile=gate.profile.profile.tracks)
    if len(oxts.values) != 1:
        raise UnknownFormatError(
            f"nothing says when each record was taken (got {len(oxts.values)} records, expected one a file)"
        )
    return oxts if captured is None else replace(oxts, time_s=np.array([captured]))


def _moved(gate: Gate, oxts: Oxts, plan: ClipPlan | OffsetPlan) -> UnlinkedOxts:
    profile = gate.profile.profile.tracks
    if isinstance(plan, ClipPlan):
        return local_oxts(oxts, plan, profile=profile)
    return offset_oxts(oxts, plan, profile=profile)
