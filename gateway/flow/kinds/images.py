"""Still images: masked, written anew, and tested by the place where they were taken."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, BinaryIO, ClassVar, Literal

from anonymize.errors import UnknownFormatError
from anonymize.finding import Finding
from anonymize.formats.identify import ItemKind
from anonymize.formats.track import Track
from anonymize.geo.zones import ZoneSet
from anonymize.media.detection import detector_set_digest
from anonymize.media.image_decoding import released_kind
from anonymize.media.images import cleanse_image, inspect_image, scan_image
from anonymize.profile import ImageProfile
from gateway.flow.gate import Gate
from gateway.flow.kinds.handling import (
    Cleansing,
    Examination,
    Outcome,
    Progress,
    Unlinked,
    Unlinking,
    cut_whole,
    kinds_of,
    passed_on,
    ready,
    zone_tags,
)
from gateway.flow.kinds.sight import frame_hits, sight_of, zone_facts
from gateway.flow.kinds.stated_places import places_meant
from gateway.flow.kinds.surroundings import Surroundings
from gateway.flow.recording import Classified, Cleansed, DataClass, Level

_EXTENSIONS = {ItemKind.JPEG: "jpg", ItemKind.PNG: "png", ItemKind.HEIC: "jpg"}


def image_kind(kind: ItemKind) -> Literal["jpeg", "png", "heic"]:
    """The name under which the image transforms know a kind.

    Raises:
        UnknownFormatError: The kind is no still image.
    """
    names: Mapping[ItemKind, Literal["jpeg", "png", "heic"]] = {
        ItemKind.JPEG: "jpeg",
        ItemKind.PNG: "png",
        ItemKind.HEIC: "heic",
    }
    if kind not in names:
        raise UnknownFormatError(f"no still image (got {kind.value!r})")
    return names[kind]


class ImageHandler:
    """JPEG, PNG and HEIC."""

    states_tracks: ClassVar[bool] = False

    def examine(
        self, gate: Gate, kind: ItemKind, original: BinaryIO, *, crs: str, zones: ZoneSet | None
    ) -> Examination:
        """See ``ItemHandler``."""
        image = inspect_image(original.read(), image_kind(kind), profile=gate.profile.profile.images)
        facts: dict[str, Any] = {
            "width": image.width,
            "height": image.height,
            "latitude": image.latitude,
            "longitude": image.longitude,
            "captured_at": image.captured_at.timestamp() if image.captured_at else None,
            "metadata_fields": len(image.metadata_fields),
            "thumbnail": image.has_thumbnail,
            "extra_images": image.extra_images,
        }
        places = places_meant(image.latitude, image.longitude, crs=crs)
        if len(places) > 1:
            facts["places_meant"] = [list(place) for place in places]
        # Exterior images with faces or plates are important data at any volume (COMPLIANCE.md C1); whether there
        # are any is known only after detection, so each counts as if there were.
        return Examination(
            data_class=DataClass.EXT_IMAGE,
            level=Level.S3_IMPORTANT,
            tags=tuple(sorted({tag for place in places for tag in zone_tags(*place, zones)})),
            facts=facts,
        )

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
        profile = gate.profile.profile.images
        detectors = gate.instruments.detectors
        surroundings.nuscenes.require_picture(item.quarantined.item)
        place = surroundings.place_of(item)
        zone_check = surroundings.zone_check(place)
        hits, facts = _zone_test(item, place, surroundings, profile)
        if hits:
            return cut_whole(item, hits, zone_check, facts=facts)
        kind = image_kind(item.kind)
        treated = cleanse_image(original.read(), kind, detectors=detectors, profile=profile)
        treated = replace(treated, facts={**treated.facts, **facts})
        residual = scan_image(
            treated.content,
            released_kind(kind),
            detectors=detectors,
            profile=profile,
            masked=treated.findings,
        )
        return ready(
            Outcome(
                treated=treated,
                residual=residual,
                zone_check=zone_check,
                position_handling="stripped",
                level=Level.S1_PROCESSED,
                detectors=detector_set_digest(detectors),
                detector_kinds=kinds_of(detectors),
            )
        )

    def unlink(self, gate: Gate, cleansed: Cleansed, treated: BinaryIO, unlinking: Unlinking) -> Unlinked:
        """See ``ItemHandler``."""
        del gate
        extension = _EXTENSIONS[cleansed.classified.kind]
        return passed_on(cleansed, treated, unlinking, extension=extension)


def _zone_test(
    item: Classified,
    place: tuple[float, float, float | None] | None,
    surroundings: Surroundings,
    profile: ImageProfile,
) -> tuple[tuple[Finding, ...], dict[str, Any]]:
    """What a picture may show of zones, and how that was tested; nothing where its place or zones are unknown."""
    if place is None or surroundings.zones is None:
        return (), {}
    sight = sight_of(surroundings.cameras.get(item.quarantined.item), profile)
    heading = surroundings.heading_of(item, least_speed_mps=sight.least_speed_mps) if sight else None
    found: dict[str, Finding] = {}
    for lat, lon in item.facts.get("places_meant", [place[:2]]):
        hits = frame_hits(
            lat, lon, sight=sight, heading=heading, profile=profile, zones=surroundings.zones.zones
        )
        found |= {hit.label: hit for hit in hits}
    return tuple(found.values()), zone_facts(sight, "sector" if heading else "disc")
