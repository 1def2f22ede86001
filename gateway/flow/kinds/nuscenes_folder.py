"""The tables of a nuScenes folder: what they say of one another, and of the files of their recording."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property

import numpy as np

from anonymize.errors import AnonymizeError, CompanionError, UnknownCrsError
from anonymize.formats.identify import ItemKind
from anonymize.formats.track import Track, number_segments
from anonymize.geo.clips import ClipPlan
from anonymize.geo.ellipsoid import FloatArray
from anonymize.geo.headings import Heading
from anonymize.geo.offset_plan import OffsetPlan
from anonymize.layouts.ego_headings import ego_courses, ego_heading_at
from anonymize.layouts.nuscenes import CRS_PREFIX
from anonymize.layouts.nuscenes_links import Companions, companions_under
from anonymize.layouts.nuscenes_rows import NuscenesTable, ego_track, read_table
from anonymize.profile import TrackProfile
from gateway.errors import HeldError
from gateway.flow.kinds.siblings import ALONE, Sibling, Siblings

CUT_AT = "cut_at"
"""Fact of a treated ``ego_pose``: POSIX seconds at which poses were cut."""

_ALIKE = {"category": 2}
"""How many tables of a shape a folder has, where it is more than one: attributes look like categories."""
_COMPANIONS: Mapping[str, tuple[str, ...]] = {
    "log": (),
    "ego_pose": ("log",),
    "sample": ("log", "ego_pose"),
    "sample_data": ("log", "ego_pose", "sample", "calibrated_sensor", "sensor"),
    "sample_annotation": ("log", "ego_pose", "sample", "instance", "category"),
    "scene": ("log", "ego_pose", "sample"),
    "instance": ("log", "ego_pose", "category", "sample", "sample_annotation"),
    "map": ("log",),
    "calibrated_sensor": ("log", "sensor"),
}
"""Tables that others are read with; all of them where they lean on one another."""
_MAPS = "maps"


class NuscenesFolder:
    """The tables among the items of one recording, each read once."""

    def __init__(self, siblings: Siblings, *, crs: str, profile: TrackProfile | None) -> None:
        """Take the items of a recording.

        Args:
            siblings: Those at the stage of the pass or beyond it.
            crs: What the manifest declares.
            profile: Limits of tables; None for a recording without any.
        """
        self._crs, self._profile = crs, profile
        self._tables: dict[str, list[Sibling]] = defaultdict(list)
        for each in siblings.of(ItemKind.NUSCENES_TABLE):
            self._tables[str(each.facts["table"])].append(each)
        self._items = {each.name: each for each in siblings.items} if self.there else {}
        self._by_id = {each.item: each for each in self._items.values()}
        self._read: dict[str, NuscenesTable] = {}
        self._known: tuple[ClipPlan | OffsetPlan, Companions] | None = None

    @property
    def there(self) -> bool:
        """Whether the recording is one of nuScenes: by its system, or by a table."""
        return self._crs.startswith(CRS_PREFIX) or bool(self._tables)

    def require(self, name: str | None) -> None:
        """Require what a table, or a file that tables place, is read with.

        Args:
            name: Of the table; None for a file that ``ego_pose`` places.

        Raises:
            CompanionError: A table is missing, or there are two of one name.
            UnknownCrsError: The log states another location than the manifest, or several.
        """
        if self._fault is not None:
            raise self._fault
        needed = ("log", "ego_pose") if name is None else _COMPANIONS.get(name, ("log",))
        missing = [each for each in needed if each not in self._tables]
        if missing:
            raise CompanionError(
                f"{name or 'a sweep'} of nuScenes is read with other tables "
                f"(got none of {', '.join(missing)} that could be read, expected one of each)"
            )

    @cached_property
    def _fault(self) -> AnonymizeError | None:
        """What is wrong with the folder as a whole."""
        for name, found in self._tables.items():
            if len(found) > _ALIKE.get(name, 1):
                return CompanionError(
                    f"several tables of one name (got {len(found)} of {name}, expected one folder a recording)"
                )
        if "log" not in self._tables:
            return CompanionError(
                "nothing confirms the location (got no log that could be read, expected one)"
            )
        stated = sorted({str(row["location"]) for row in self.table("log").rows})
        if len(stated) > 1:
            return UnknownCrsError(f"the recording has several locations (got {stated}, expected one)")
        if [f"{CRS_PREFIX}{each}" for each in stated] != [self._crs]:
            return UnknownCrsError(
                f"the log states another location than the manifest (got {stated}, expected {self._crs!r})"
            )
        return None

    def stands(self, name: str) -> bool:
        """Whether a table is there and can be read with the others."""
        if name not in self._tables:
            return False
        try:
            self.require(name)
        except AnonymizeError:
            return False
        return True

    def table(self, name: str) -> NuscenesTable:
        """A table that is there; attributes and categories together."""
        if self._profile is None:
            raise CompanionError(f"the recording has no tables of nuScenes (expected {name})")
        if name not in self._read:
            parts = [read_table(each.open().read(), profile=self._profile) for each in self._tables[name]]
            rows = tuple(row for part in parts for row in part.rows)
            self._read[name] = NuscenesTable(name=name, rows=rows)
        return self._read[name]

    @cached_property
    def track(self) -> Track | None:
        """Where the recording was; None where ``ego_pose`` does not stand, so that nothing is placed by it.

        A segment ends where the first pass cut poses, so that no way is assumed through a zone.
        """
        if not self.stands("ego_pose"):
            return None
        track = ego_track(self.table("ego_pose"), location=self._crs)
        cut_at = np.sort(np.asarray(self._tables["ego_pose"][0].facts.get(CUT_AT, ()), dtype=np.float64))
        stretch = np.searchsorted(cut_at, track.time_s, side="right")
        breaks = np.r_[False, np.diff(stretch) > 0]
        return replace(track, segment=number_segments(breaks, track.time_s))

    def heading_at(self, time_s: float) -> Heading | None:
        """Where the vehicle headed, as the rotations of ``ego_pose`` say; None where it does not stand or tell."""
        return None if self._courses is None else ego_heading_at(*self._courses, time_s)

    @cached_property
    def _courses(self) -> tuple[FloatArray, FloatArray] | None:
        if not self.stands("ego_pose"):
            return None
        return ego_courses(self.table("ego_pose"), location=self._crs)

    @cached_property
    def _rows_of(self) -> Mapping[str, list[float]]:
        """Times that ``sample_data`` gives each file, by item."""
        times: dict[str, list[float]] = defaultdict(list)
        if self.stands("sample_data"):
            table = self.table("sample_data")
            for row, time_s in zip(table.rows, table.times().tolist(), strict=True):
                found = self._items.get(self._root + row["filename"])
                if found is not None:
                    times[found.item].append(time_s)
        return times

    @property
    def _root(self) -> str:
        """The folder that names of files start from: the one that holds that of the tables."""
        parent = self._tables["sample_data"][0].folder.rpartition("/")[0]
        return f"{parent}/" if parent else ""

    @cached_property
    def captured(self) -> Mapping[str, float]:
        """POSIX seconds at which files were taken, by item, as the one row of ``sample_data`` says."""
        return {item: times[0] for item, times in self._rows_of.items() if len(set(times)) == 1}

    def require_picture(self, item: str) -> None:
        """Require that a picture is one that a camera took, not a raster of a map.

        Raises:
            HeldError: ``map`` names it, it lies in a folder of maps, or nothing says when it was taken.
        """
        if not self.there:
            return
        found = self._by_id.get(item)
        if found is None or _MAPS in found.name.split("/")[:-1] or item in self._rasters:
            raise HeldError("map_raster", "a raster of a map cannot be treated (expected a camera's picture)")
        if found.captured is None and item not in self.captured:
            raise HeldError(
                "map_raster",
                "the picture may be a raster of a map (got no captured_at in the manifest and no row of "
                "sample_data, expected one of them)",
            )

    @cached_property
    def _rasters(self) -> frozenset[str]:
        """Items that ``map`` names, from wherever its names start."""
        names = [str(row["filename"]) for row in self.table("map").rows] if "map" in self._tables else []
        ends = tuple(f"/{name}" for name in names if name)
        return frozenset(each.item for each in self._items.values() if f"/{each.name}".endswith(ends))

    def known(self, plan: ClipPlan | OffsetPlan) -> Companions:
        """What the tables say of one another under the plan of a release."""
        if self._known is None or self._known[0] is not plan:
            standing = [self.table(name) for name in sorted(self._tables) if self.stands(name)]
            self._known = plan, companions_under(standing, plan)
        return self._known[1]

    def released_names(self, plan: ClipPlan | OffsetPlan, released: Mapping[str, str]) -> dict[str, str]:
        """Released name of each file that ``sample_data`` names, by that name, as far as they leave.

        A file that the manifest puts into another clip than its row is missing: its name would join the two.

        Args:
            plan: The plan of the release.
            released: Names in the release by item.
        """
        part_of = plan.clip_of if isinstance(plan, ClipPlan) else plan.span_of
        names = {}
        for item, times in self._rows_of.items():
            of = self._by_id[item]
            moments = [*times, *([] if of.captured is None else [of.captured])]
            if item in released and len(set(part_of(np.array(moments)).tolist())) == 1:
                names[of.name.removeprefix(self._root)] = released[item]
        return names


NO_FOLDER = NuscenesFolder(ALONE, crs="", profile=None)
"""Of a recording without tables."""
