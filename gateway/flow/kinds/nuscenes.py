"""nuScenes tables: cut and redacted on true coordinates, then brought to clips or displaced with the recording."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, ClassVar

import numpy as np

from anonymize.errors import CompanionError
from anonymize.formats.identify import ItemKind
from anonymize.formats.track import Track
from anonymize.geo.clips import ClipPlan
from anonymize.geo.offset_plan import OffsetPlan
from anonymize.geo.zones import ZoneSet
from anonymize.layouts.nuscenes import FRAME_ERROR_M, Tokens, map_frame
from anonymize.layouts.nuscenes_links import is_timed
from anonymize.layouts.nuscenes_residual import scan_cleansed_table, scan_table
from anonymize.layouts.nuscenes_rows import (
    MEDIA_TYPE,
    PLACED,
    NuscenesTable,
    cleanse_table,
    places_of,
    read_table,
)
from anonymize.layouts.nuscenes_unlink import UnlinkedTable, local_table, offset_table
from gateway.flow.gate import Gate
from gateway.flow.kinds.approving import displacement_of, settled
from gateway.flow.kinds.handling import (
    Cleansing,
    Examination,
    Outcome,
    Progress,
    Settled,
    Unlinked,
    Unlinking,
    cut_whole,
)
from gateway.flow.kinds.nuscenes_folder import CUT_AT
from gateway.flow.kinds.surroundings import Surroundings
from gateway.flow.recording import Classified, Cleansed, DataClass, Level, ReleaseMode

_CLASSES: Mapping[str, tuple[DataClass, Level]] = {
    "ego_pose": (DataClass.TRAJ_ABS, Level.S3_SENSITIVE_GEO),
    "sample_annotation": (DataClass.TRAJ_ABS, Level.S3_SENSITIVE_GEO),
    "calibrated_sensor": (DataClass.CALIB, Level.S2_PI),
    "sensor": (DataClass.CALIB, Level.S2_PI),
    "category": (DataClass.LABEL, Level.S2_PI),
    "visibility": (DataClass.LABEL, Level.S2_PI),
    "instance": (DataClass.LABEL, Level.S2_PI),
}
"""The others name vehicles, logs and files."""
_NAMING = (DataClass.VEH_ID, Level.S2_PI)
_TOLD_BY_NAME = frozenset({"attribute", "category"})
"""Tables of one shape: only their file names tell them apart."""


class NuscenesTableHandler:
    """Tables of nuScenes 1.0; ``NuscenesFolder`` tells the track that their poses state."""

    states_tracks: ClassVar[bool] = False

    def examine(
        self, gate: Gate, kind: ItemKind, original: BinaryIO, *, crs: str, zones: ZoneSet | None
    ) -> Examination:
        """See ``ItemHandler``.

        Raises:
            UnknownCrsError: The manifest declares none of the four maps.
        """
        del kind
        map_frame(crs if crs.startswith("nuscenes:") else None)
        table = read_table(original.read(), profile=gate.profile.profile.tracks)
        tags = {"TRACK"} if table.name == "ego_pose" else set()
        if table.name in PLACED and zones is not None:
            lat, lon, _ = places_of(table, location=crs)
            tags |= {k.value for k in zones.test(lat, lon, extra_margin_m=FRAME_ERROR_M).kinds()}
        data_class, level = _CLASSES.get(table.name, _NAMING)
        return Examination(
            data_class=data_class,
            level=level,
            tags=tuple(sorted(tags)),
            facts={
                "table": table.name,
                "rows": len(table.rows),
                "crs": crs if table.name in PLACED else "none",
                "declared_crs": crs,
            },
        )

    def tracks(self, gate: Gate, kind: ItemKind, original: BinaryIO, *, crs: str) -> tuple[Track, ...]:
        """See ``ItemHandler``; ``NuscenesFolder.track`` has it once the log confirms the location."""
        del gate, kind, original, crs
        return ()

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
            CompanionError: A table that this one is read with is missing, held or there twice.
            HeldError: No zone file is installed.
            UnknownCrsError: The log states another location than the manifest, or several.
        """
        del progress
        # Zones of such a recording are widened by the error of its map's frame already (``surroundings_of``).
        zones = surroundings.require_zones().zones
        surroundings.nuscenes.require(str(item.facts["table"]))
        location, profile = str(item.facts["declared_crs"]), gate.profile.profile.tracks
        table = read_table(original.read(), profile=profile)
        treated = cleanse_table(table, zones=zones, location=location, profile=profile, frame_error_m=0.0)
        if treated.dropped:
            return cut_whole(item, treated.findings, "tested")
        if table.name == "ego_pose":
            treated = replace(treated, facts={**treated.facts, CUT_AT: _cut_at(table, treated.content, gate)})

        def settle(sealed: BinaryIO) -> Outcome:
            content = sealed.read()
            residual = scan_cleansed_table(
                content, name=table.name, zones=zones, location=location, profile=profile
            )
            placed = table.name in PLACED
            return Outcome(
                treated=replace(treated, content=b""),
                residual=residual,
                zone_check="tested",
                position_handling="raw" if placed else "none",
                level=item.level if placed or not treated.treatments else Level.S1_PROCESSED,
                tags=("ELEV",) if placed and profile.keep_elevation and _heights(content, gate) else (),
            )

        return Cleansing(chunks=[treated.content], settle=settle)

    def unlink(self, gate: Gate, cleansed: Cleansed, treated: BinaryIO, unlinking: Unlinking) -> Unlinked:
        """See ``ItemHandler``.

        Raises:
            CompanionError: A table that this one is read with was not cleansed, or no pose is left.
        """
        location = str(cleansed.classified.facts["declared_crs"])
        folder, plan = unlinking.nuscenes, unlinking.plan()
        name = str(cleansed.classified.facts["table"])
        folder.require(name)
        if plan is None:
            raise CompanionError(f"nothing places {name} (got no ego_pose, expected one)")
        release = _Release(gate=gate, unlinking=unlinking, plan=plan, location=location)
        return release.unlinked(read_table(treated.read(), profile=gate.profile.profile.tracks), cleansed)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Release:
    """One release of a recording's tables."""

    gate: Gate
    unlinking: Unlinking
    plan: ClipPlan | OffsetPlan
    location: str

    def unlinked(self, table: NuscenesTable, cleansed: Cleansed) -> Unlinked:
        profile, mode = self.gate.profile.profile.tracks, self.unlinking.mode
        placed, local = table.name in PLACED, mode is ReleaseMode.LOCAL
        displacement = displacement_of(self.gate, self.unlinking) if placed else None
        moved = self._moved(table, displacement)
        measured = moved.evidence
        facts: dict[str, Any] = {"table": table.name, "rows": len(moved.source.rows)}
        if measured is not None:
            facts |= {
                "max_distance_error": measured.max_distance_error,
                "min_shift_m": measured.min_shift_m,
                "mean_shift_m": measured.mean_shift_m,
                "max_heading_error_deg": measured.max_heading_error_deg,
                "max_strain": measured.max_strain,
            }

        def settle(sealed: BinaryIO) -> Settled:
            residual = scan_table(
                sealed.read(),
                name=table.name,
                source=moved.source.rows,
                time_s=moved.time_s,
                plan=self.plan,
                location=self.location,
                profile=profile,
            )
            return settled(displacement, residual, facts)

        approved = placed and mode is ReleaseMode.APPROVED
        return Unlinked(
            chunks=[moved.content],
            extension="json",
            media_type=MEDIA_TYPE,
            data_class=DataClass.TRAJ_REL if placed and local else cleansed.classified.data_class,
            position_handling=mode.value.lower() if placed else str(cleansed.payload["position_handling"]),
            absolute_time=("stripped" if local else "shifted") if is_timed(table) else "none",
            settle=settle,
            placed={"nuscenes": {"table": self._told(table.name)}},
            searched="identifiers" if approved else "everything",
            level=Level.S1_PROCESSED if approved else None,
        )

    def _moved(self, table: NuscenesTable, displacement: Any) -> UnlinkedTable:
        unlinking, plan = self.unlinking, self.plan
        names = unlinking.nuscenes.released_names(plan, unlinking.released)
        file_name: Callable[[str], str] = lambda name: names.get(name, "")  # noqa: E731 - a mapping with a default
        more: dict[str, Any] = {
            "tokens": Tokens(unlinking.key, unlinking.context),
            "location": self.location,
            "profile": self.gate.profile.profile.tracks,
            "known": unlinking.nuscenes.known(plan),
            "file_name": file_name,
        }
        if isinstance(plan, ClipPlan):
            return local_table(table, plan, **more)
        return offset_table(
            table, plan if displacement is None else replace(plan, offset=displacement), **more
        )

    def _told(self, shape: str) -> str:
        """Name of the table for its recipient, from a list: released names tell nothing."""
        own = self.unlinking.siblings.get(self.unlinking.item.decode())
        stem = "" if own is None else own.name.rpartition("/")[2].partition(".")[0]
        return stem if shape in _TOLD_BY_NAME and stem in _TOLD_BY_NAME else shape


def _cut_at(table: NuscenesTable, content: bytes, gate: Gate) -> list[float]:
    """Times of the first pose of every stretch that was cut."""
    kept = {row["token"] for row in read_table(content, profile=gate.profile.profile.tracks).rows}
    times = table.times()
    order = np.argsort(times, kind="stable")
    gone = np.array([table.rows[i]["token"] not in kept for i in order.tolist()])
    first = gone & ~np.r_[False, gone[:-1]]
    return [float(t) for t in times[order][first]]


def _heights(content: bytes, gate: Gate) -> bool:
    return bool(read_table(content, profile=gate.profile.profile.tracks).translations()[:, 2].any())
