"""Image files with things planted beside their pixels."""

import io
import struct
import zlib

from PIL import ExifTags, Image, ImageCms, PngImagePlugin

CANARIES = (
    b"CANARY-MAKE", b"CANARY-XMP", b"CANARY-COMMENT", b"CANARY-TRAILER", b"CANARY-TEXT", b"CANARY-APP9",
    b"CANARY-CHUNK",
)  # fmt: skip
_XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/">CANARY-XMP</x:xmpmeta>'


def exif(
    *, latitude: object = None, longitude: object = None, orientation: int = 1, refs: str = "NE"
) -> Image.Exif:
    data = Image.Exif()
    data[ExifTags.Base.Make] = "CANARY-MAKE"
    data[ExifTags.Base.Orientation] = orientation
    detail = data.get_ifd(ExifTags.IFD.Exif)
    detail[ExifTags.Base.DateTimeOriginal] = "2024:05:06 07:08:09"
    detail[ExifTags.Base.OffsetTimeOriginal] = "+08:00"
    if latitude is not None:
        gps = data.get_ifd(ExifTags.IFD.GPSInfo)
        gps[ExifTags.GPS.GPSLatitudeRef] = refs[0]
        gps[ExifTags.GPS.GPSLatitude] = latitude
        gps[ExifTags.GPS.GPSLongitudeRef] = refs[1]
        gps[ExifTags.GPS.GPSLongitude] = longitude
    return data


def thumbnail_exif(preview: bytes) -> bytes:
    """EXIF in little-endian TIFF with an empty first directory and a preview in the second."""
    ifd0 = struct.pack("<H", 0) + struct.pack("<I", 14)
    entries = struct.pack("<HHII", 0x0201, 4, 1, 14 + 2 + 24 + 4) + struct.pack(
        "<HHII", 0x0202, 4, 1, len(preview)
    )
    ifd1 = struct.pack("<H", 2) + entries + struct.pack("<I", 0)
    return b"Exif\x00\x00" + b"II*\x00" + struct.pack("<I", 8) + ifd0 + ifd1 + preview


def segment(marker: int, payload: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(payload) + 2) + payload


def jpeg(image: Image.Image, *, trailer: bytes = b"CANARY-TRAILER", **exif_options: object) -> bytes:
    """A JPEG with EXIF and GPS, XMP, ICC profile, comment, APP9, thumbnail-free, and bytes behind its end."""
    out = io.BytesIO()
    options = {"latitude": (39.0, 54.0, 27.5), "longitude": (116.0, 23.0, 17.0), **exif_options}
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image.save(out, format="JPEG", exif=exif(**options), icc_profile=icc, comment=b"CANARY-COMMENT", xmp=_XMP)
    content = out.getvalue()
    return content[:2] + segment(0xE9, b"CANARY-APP9") + content[2:] + trailer


def png(image: Image.Image) -> bytes:
    """A PNG with text chunks, EXIF and GPS, an unknown chunk, and bytes behind its end."""
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "CANARY-TEXT")
    info.add_itxt("XML:com.adobe.xmp", _XMP.decode())
    out = io.BytesIO()
    options = {"latitude": (39.0, 54.0, 27.5), "longitude": (116.0, 23.0, 17.0)}
    image.save(out, format="PNG", pnginfo=info, exif=exif(**options))
    content = out.getvalue()
    end = content.rindex(b"IEND") - 4
    return content[:end] + chunk(b"caNa", b"CANARY-CHUNK") + content[end:] + b"CANARY-TRAILER"


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
