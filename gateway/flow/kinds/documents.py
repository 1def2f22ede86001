"""Text and JSON: redacted, and searched for what must not leave."""

from collections.abc import Iterable
from typing import BinaryIO, ClassVar

from anonymize.errors import LimitExceededError
from anonymize.formats.identify import ItemKind
from anonymize.formats.track import Track
from anonymize.geo.residual import find_positions
from anonymize.geo.zones import ZoneSet
from anonymize.residual import ResidualReport
from anonymize.text.cleanse import cleanse_json, cleanse_text
from anonymize.text.inspect import inspect_text
from anonymize.text.residual import scan_text
from gateway.flow.gate import Gate
from gateway.flow.kinds.handling import (
    Cleansing,
    Examination,
    Outcome,
    Progress,
    Unlinked,
    Unlinking,
    passed_on,
    ready,
)
from gateway.flow.kinds.surroundings import Surroundings
from gateway.flow.recording import Classified, Cleansed, DataClass, Level

SENSITIVE_PERSONAL = frozenset({"resident_id", "bank_card", "position", "address"})

_KITTI_CALIBRATION = (b"P0:", b"P2:", b"R0_rect:", b"Tr_velo_to_cam:", b"calib_time:")
_KITTI_OBJECTS = frozenset(
    {"Car", "Van", "Truck", "Pedestrian", "Person_sitting", "Cyclist", "Tram", "Misc", "DontCare"}
)
_KITTI_LABEL_COLUMNS = (15, 16)


_EXTENSIONS = {ItemKind.JSON: "json", ItemKind.TEXT: "txt"}


class DocumentHandler:
    """Plain text, and JSON that states no positions."""

    states_tracks: ClassVar[bool] = False

    def examine(
        self, gate: Gate, kind: ItemKind, original: BinaryIO, *, crs: str, zones: ZoneSet | None
    ) -> Examination:
        """See ``ItemHandler``."""
        del crs, zones
        content = original.read()
        profile = gate.profile.profile.text
        if len(content) > profile.max_bytes:
            raise LimitExceededError(
                f"text is too large (got {len(content)} bytes, expected ≤ {profile.max_bytes})"
            )
        facts = dict(inspect_text(content, kind, analyzer=gate.instruments.analyzer, profile=profile))
        found = set(facts.get("findings", {}))
        data_class = DataClass.VEH_ID
        level = Level.S2_SENSITIVE_PI if found & SENSITIVE_PERSONAL else Level.S2_PI
        if kind is ItemKind.TEXT and not found:
            for is_one, known in (
                (_is_kitti_calibration, DataClass.CALIB),
                (_is_kitti_label, DataClass.LABEL),
            ):
                if is_one(content):
                    data_class, level = known, Level.S1_PROCESSED
                    break
        return Examination(data_class=data_class, level=level, tags=(), facts=facts)

    def tracks(self, gate: Gate, kind: ItemKind, original: BinaryIO, *, crs: str) -> tuple[Track, ...]:
        """See ``ItemHandler``."""
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
        """See ``ItemHandler``."""
        del progress
        profile = gate.profile.profile.text
        cleanse = cleanse_json if item.kind is ItemKind.JSON else cleanse_text
        treated = cleanse(original.read(), analyzer=gate.instruments.analyzer, profile=profile)
        report = scan_text(treated.content, treated.media_type, profile=profile, planted=surroundings.planted)
        latitudes, longitudes = surroundings.positions
        located = find_positions(treated.content, lat=latitudes, lon=longitudes)
        return ready(
            Outcome(
                treated=treated,
                residual=ResidualReport(
                    scanners=(*report.scanners, "positions-near-the-true-track"),
                    residual=(*report.residual, *located),
                    facts=report.facts,
                ),
                zone_check="tested" if surroundings.zones is not None else surroundings.zone_check(None),
                position_handling="stripped",
                # Only a treatment that took place lowers a level.
                level=Level.S1_PROCESSED if treated.treatments else item.level,
            )
        )

    def unlink(self, gate: Gate, cleansed: Cleansed, treated: BinaryIO, unlinking: Unlinking) -> Unlinked:
        """See ``ItemHandler``."""
        del gate
        extension = _EXTENSIONS[cleansed.classified.kind]
        return passed_on(cleansed, treated, unlinking, extension=extension)


def _is_kitti_calibration(content: bytes) -> bool:
    lines = [line for line in content.splitlines() if line.strip()]
    return bool(lines) and lines[0].startswith(_KITTI_CALIBRATION)


def _is_kitti_label(content: bytes) -> bool:
    rows: Iterable[list[bytes]] = (line.split() for line in content.splitlines() if line.strip())
    checked = [
        len(row) in _KITTI_LABEL_COLUMNS and row[0].decode("ascii", "replace") in _KITTI_OBJECTS
        for row in rows
    ]
    return bool(checked) and all(checked)
