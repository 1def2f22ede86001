"""What an image file says about itself: size, position, time, metadata, hidden images."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from PIL import ExifTags
from PIL.Image import Exif

from anonymize.errors import MalformedItemError
from anonymize.media import jpeg_markers, png_chunks
from anonymize.media.heif_boxes import HeifStructure
from anonymize.media.image_decoding import DECODE_ERRORS, ImageKind, OpenedImage, open_image
from anonymize.media.image_position import jpeg_packets, png_packets, position_of
from anonymize.media.jpeg_markers import JpegStructure
from anonymize.profile import ImageProfile

_ORIENTATION = 0x0112
_SWAPPING = (5, 6, 7, 8)
_PREVIEWS = frozenset({"jfxx_thumbnail", "jfif_thumbnail", "heif.thumbnail"})
_HEIF_FIELDS = {"exif": "exif", "xmp": "xmp", "icc_profile": "icc_profile", "thumbnails": "heif.thumbnail",
                "depth_images": "heif.depth_image", "aux": "heif.auxiliary_image",
                "metadata": "heif.metadata"}  # fmt: skip
_POINTERS = frozenset({0x8769, 0x8825, 0xA005})


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """Facts of an image file.

    Attributes:
        width: Pixels, upright.
        height: Pixels, upright.
        orientation: EXIF orientation, 1 to 8.
        latitude: Degrees north (WGS 84) from EXIF GPS or XMP, None where there is none.
        longitude: Degrees east.
        captured_at: Time of capture where the file states its offset from UTC, or GPS time.
        metadata_fields: Names of everything in the file beside pixels, from a closed vocabulary, sorted.
        has_thumbnail: Whether EXIF, JFIF or HEIF hold a preview.
        extra_images: Images beside the primary one: behind its end (MPF and the like), and in HEIF depth
            maps, gain maps, further images and sequences.
        mode: Pixel mode as stored (Pillow's names).
    """

    width: int
    height: int
    orientation: int
    latitude: float | None
    longitude: float | None
    captured_at: datetime | None
    metadata_fields: tuple[str, ...]
    has_thumbnail: bool
    extra_images: int
    mode: str


def inspect_image(content: bytes, kind: ImageKind, *, profile: ImageProfile) -> ImageFacts:
    """Read an image's facts without decoding its pixels.

    Raises:
        MalformedItemError: The file is malformed (see ``open_image``), its EXIF cannot be read, or its GPS
            position or orientation has impossible values.
        LimitExceededError: Its size lies outside the profile's limits.
    """
    return facts_of(open_image(content, kind, profile=profile))


def facts_of(opened: OpenedImage) -> ImageFacts:
    """Facts of an opened image; see ``inspect_image``."""
    try:
        exif = opened.pillow.getexif()
        main, gps = dict(exif), dict(exif.get_ifd(ExifTags.IFD.GPSInfo))
        detail, preview = dict(exif.get_ifd(ExifTags.IFD.Exif)), dict(exif.get_ifd(ExifTags.IFD.IFD1))
    except DECODE_ERRORS as error:
        raise MalformedItemError(f"EXIF cannot be read: {error}") from error
    orientation = _orientation(exif)
    width, height = opened.pillow.size
    if orientation in _SWAPPING:
        width, height = height, width
    fields, packets = _structure_fields(opened), _xmp_packets(opened)
    for prefix, names, ifd in (("exif", ExifTags.TAGS, main), ("exif", ExifTags.TAGS, detail),
                               ("exif.gps", ExifTags.GPSTAGS, gps)):  # fmt: skip
        fields |= {f"{prefix}:{names.get(tag, f'{tag:#06x}')}" for tag in ifd if tag not in _POINTERS}
    if preview:
        fields.add("exif.thumbnail")
    position = position_of(gps, packets)
    return ImageFacts(
        width=width,
        height=height,
        orientation=orientation,
        latitude=position[0] if position else None,
        longitude=position[1] if position else None,
        captured_at=_captured_at(main, detail, gps),
        metadata_fields=tuple(sorted(fields)),
        has_thumbnail=bool(preview) or bool(fields & _PREVIEWS),
        extra_images=_extra_images(opened),
        mode=opened.mode,
    )


def _orientation(exif: Exif) -> int:
    value = exif.get(_ORIENTATION, 1)
    if not isinstance(value, int) or not 0 <= value <= 8:  # noqa: PLR2004 - EXIF 2.32, 4.6.4
        raise MalformedItemError(f"EXIF orientation is impossible (got {value!r}, expected 1 to 8)")
    return value or 1


def _structure_fields(opened: OpenedImage) -> set[str]:
    structure = opened.structure
    if isinstance(structure, HeifStructure):
        fields = {name for key, name in _HEIF_FIELDS.items() if opened.pillow.info.get(key)}
        return fields.union(structure.others, {"heif.image"} if _frames(opened) > 1 else ())
    if isinstance(structure, JpegStructure):
        extra = [s for s in structure.segments if not jpeg_markers.carries_only_pixels(s)]
        fields = {jpeg_markers.field_name(s) for s in extra}
        if "jfif" in fields:
            fields = fields - {"jfif"} | {"jfif_thumbnail"}
    else:
        fields = {png_chunks.field_name(c) for c in structure.chunks if not png_chunks.carries_only_pixels(c)}
    return fields | ({"trailing_data"} if structure.trailing else set())


def _xmp_packets(opened: OpenedImage) -> list[bytes]:
    if isinstance(opened.structure, JpegStructure):
        return jpeg_packets(opened.structure)
    if isinstance(opened.structure, HeifStructure):
        packet = opened.pillow.info.get("xmp")
        return [packet] if packet else []
    return png_packets(opened.structure)


def _frames(opened: OpenedImage) -> int:
    return int(getattr(opened.pillow, "n_frames", 1))


def _extra_images(opened: OpenedImage) -> int:
    structure = opened.structure
    if isinstance(structure, HeifStructure):
        info = opened.pillow.info
        maps = len(info.get("depth_images", ())) + sum(len(ids) for ids in info.get("aux", {}).values())
        return _frames(opened) - 1 + maps + len(structure.others)
    return max(structure.trailing.count(b"\xff\xd8\xff"), 1) if structure.trailing else 0


def _captured_at(
    main: Mapping[int, Any], detail: Mapping[int, Any], gps: Mapping[int, Any]
) -> datetime | None:
    """Time of capture where it is known absolutely; a blank or unreadable time is an unknown one."""
    base, tags = ExifTags.Base, ExifTags.GPS
    local = detail.get(base.DateTimeOriginal, main.get(base.DateTime))
    offset = detail.get(base.OffsetTimeOriginal, detail.get(base.OffsetTime))
    if local and offset:
        try:
            clock = datetime.strptime(str(offset).strip("\x00 "), "%z").tzinfo
            return datetime.strptime(str(local).strip("\x00 "), "%Y:%m:%d %H:%M:%S").replace(tzinfo=clock)
        except ValueError:
            return None
    if tags.GPSDateStamp in gps and tags.GPSTimeStamp in gps:
        try:
            day = datetime.strptime(str(gps[tags.GPSDateStamp]).strip("\x00 "), "%Y:%m:%d").replace(
                tzinfo=UTC
            )
            hours, minutes, seconds = (float(v) for v in gps[tags.GPSTimeStamp])
            return day + timedelta(hours=hours, minutes=minutes, seconds=seconds)
        except (ValueError, TypeError, ZeroDivisionError, OverflowError):
            return None
    return None
