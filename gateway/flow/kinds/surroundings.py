"""What the items of one recording say about one another."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from anonymize.formats.track import Track
from anonymize.geo.headings import Heading, heading_at
from anonymize.text.planted_strings import PlantedStrings
from gateway.errors import HeldError
from gateway.flow.kinds.nuscenes_folder import NO_FOLDER, NuscenesFolder
from gateway.flow.kinds.siblings import ALONE, Siblings
from gateway.flow.recording import Classified
from gateway.people.zones import InstalledZones
from gateway.vehicles.cameras import Camera


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the items of one recording say about one another.

    Attributes:
        zones: The zone file in force, if any.
        tracks: The true tracks of the recording.
        positions: Latitude and longitude of every known true position, degrees WGS-84, shape (2, N).
        captured: POSIX seconds at which an item was taken, by item id, from the signed manifest, else from a
            table of the recording.
        attested: Whether a compliance officer attested that items without a position lie outside the zones.
        planted: Strings that must not leave: file names and the collector's id.
        siblings: The recording's items that were classified, as originals.
        nuscenes: Its tables, where it is one of nuScenes; margins of ``zones`` then have the error of its map.
        cameras: The camera that took an item, by item id, from the signed manifest.
    """

    zones: InstalledZones | None
    tracks: tuple[Track, ...]
    positions: NDArray[np.float64]
    captured: Mapping[str, float]
    attested: bool
    planted: PlantedStrings
    siblings: Siblings = ALONE
    nuscenes: NuscenesFolder = NO_FOLDER
    cameras: Mapping[str, Camera] = field(default_factory=dict)

    @property
    def reference(self) -> Track | None:
        """The longest track that states times; None where there is none."""
        timed = [track for track in self.tracks if np.isfinite(track.time_s).any()]
        return max(timed, key=lambda track: track.path_length_m(), default=None)

    def position_at(self, time_s: float) -> tuple[float, float, float | None] | None:
        """Latitude, longitude and course where the recording was at a time, if a track says so."""
        for track in self.tracks:
            found = track.position_at(time_s)
            if found is not None:
                return found
        return None

    def place_of(self, item: Classified) -> tuple[float, float, float | None] | None:
        """Where an item was taken: by itself, else by its time and the tracks; the course where one is known."""
        facts = item.facts
        if facts.get("latitude") is not None and facts.get("longitude") is not None:
            return float(facts["latitude"]), float(facts["longitude"]), None
        found = self._placed_by_time(item)
        return None if found is None else found[1]

    def heading_of(self, item: Classified, *, least_speed_mps: float) -> Heading | None:
        """Where the vehicle headed as it took an item that its time and the tracks place; None where unknown.

        An item that states its own position states no heading: its time may be another clock's.
        """
        if item.facts.get("latitude") is not None:
            return None
        found = self._placed_by_time(item)
        return None if found is None else heading_at(self.tracks, found[0], least_speed_mps=least_speed_mps)

    def pose_heading_of(self, item: Classified) -> Heading | None:
        """Where the vehicle headed as it took an item, as the poses of nuScenes say; None where unknown."""
        found = self._placed_by_time(item)
        return None if found is None else self.nuscenes.heading_at(found[0])

    def _placed_by_time(self, item: Classified) -> tuple[float, tuple[float, float, float | None]] | None:
        for moment in (self.captured.get(item.quarantined.item), item.facts.get("captured_at")):
            found = None if moment is None else self.position_at(float(moment))
            if moment is not None and found is not None:
                return float(moment), found
        return None

    def zone_check(self, place: object) -> str:
        """How the item's place was held against the zones: ``tested`` or ``attested``.

        Raises:
            HeldError: Neither a position nor an attestation shows that the item lies outside them.
        """
        if place is not None and self.zones is not None:
            return "tested"
        if self.attested:
            return "attested"
        missing = "no zone file is installed" if self.zones is None else "its position is unknown"
        raise HeldError(
            "zones_unchecked",
            f"cannot be tested against restricted zones: {missing} (expected a test or attestation)",
        )

    def require_zones(self) -> InstalledZones:
        """The zone file, for what states positions: no attestation stands for a test of them.

        Raises:
            HeldError: No zone file is installed.
        """
        if self.zones is None:
            raise HeldError(
                "zones_unchecked", "cannot be tested against restricted zones: no zone file is installed"
            )
        return self.zones
