import io
from datetime import UTC, datetime

import pytest
from PIL import Image, PngImagePlugin

from anonymize.errors import MalformedItemError
from anonymize.media.images import inspect_image


@pytest.fixture
def picture(scenery):
    return Image.fromarray(scenery)


@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_position_time_and_metadata_are_read(planted, picture, profile, kind):
    facts = inspect_image(getattr(planted, kind)(picture), kind, profile=profile)
    assert (facts.width, facts.height, facts.mode) == (128, 96, "RGB")
    assert facts.latitude == pytest.approx(39.907639, abs=1e-6)
    assert facts.longitude == pytest.approx(116.388056, abs=1e-6)
    assert facts.captured_at is not None
    assert facts.captured_at.astimezone(UTC) == datetime(2024, 5, 5, 23, 8, 9, tzinfo=UTC)
    assert {"exif:Make", "exif.gps:GPSLatitude", "trailing_data"} <= set(facts.metadata_fields)
    assert facts.extra_images == 1


def test_all_jpeg_segments_are_named_without_their_content(planted, picture, profile):
    facts = inspect_image(planted.jpeg(picture), "jpeg", profile=profile)
    assert {"exif", "xmp", "icc_profile", "comment", "app9"} <= set(facts.metadata_fields)
    assert not any("CANARY" in name for name in facts.metadata_fields)


def test_southern_and_western_positions_are_negative(planted, picture, profile):
    facts = inspect_image(planted.jpeg(picture, refs="SW"), "jpeg", profile=profile)
    assert facts.latitude == pytest.approx(-39.907639, abs=1e-6)
    assert facts.longitude == pytest.approx(-116.388056, abs=1e-6)


@pytest.mark.parametrize(
    ("orientation", "size"), [(1, (128, 96)), (3, (128, 96)), (6, (96, 128)), (8, (96, 128))]
)
def test_sizes_are_upright(planted, picture, profile, orientation, size):
    facts = inspect_image(planted.jpeg(picture, orientation=orientation), "jpeg", profile=profile)
    assert (facts.width, facts.height) == size


@pytest.mark.parametrize(
    "values",
    [
        {"latitude": (91.0, 0.0, 0.0)},
        {"longitude": (181.0, 0.0, 0.0)},
        {"latitude": (39.0, 75.0, 0.0)},
        {"latitude": (39.0, 54.0)},
        {"refs": "XE"},
        {"orientation": 9},
    ],
    ids=["latitude", "longitude", "minutes", "two values", "reference", "orientation"],
)
def test_impossible_exif_values_stop_the_item(planted, picture, profile, values):
    with pytest.raises(MalformedItemError):
        inspect_image(planted.jpeg(picture, **values), "jpeg", profile=profile)


def test_a_zero_denominator_in_gps_stops_the_item(planted, picture, profile):
    content = planted.jpeg(picture, latitude=(39.0, 54.0, 27.5))
    triple = (39).to_bytes(4, "big") + (1).to_bytes(4, "big")
    assert triple in content
    broken = content.replace(triple, (39).to_bytes(4, "big") + bytes(4))
    with pytest.raises(MalformedItemError, match="GPS"):
        inspect_image(broken, "jpeg", profile=profile)


def test_a_latitude_without_longitude_stops_the_item(planted, picture, profile):
    data = planted.exif(latitude=(39.0, 54.0, 27.5), longitude=(116.0, 23.0, 17.0))
    del data.get_ifd(0x8825)[4]
    out = io.BytesIO()
    picture.save(out, format="JPEG", exif=data)
    with pytest.raises(MalformedItemError, match="incomplete"):
        inspect_image(out.getvalue(), "jpeg", profile=profile)


def test_a_thumbnail_is_seen(planted, profile, as_bytes, scenery):
    preview = as_bytes(scenery[::4, ::4])
    content = as_bytes(scenery)
    content = content[:2] + planted.segment(0xE1, planted.thumbnail_exif(preview)) + content[2:]
    facts = inspect_image(content, "jpeg", profile=profile)
    assert facts.has_thumbnail
    assert "exif.thumbnail" in facts.metadata_fields


def test_images_behind_the_end_are_counted(planted, picture, profile, as_bytes, scenery):
    second = as_bytes(scenery[::2, ::2])
    facts = inspect_image(planted.jpeg(picture, trailer=second + second), "jpeg", profile=profile)
    assert facts.extra_images == 2


def test_a_bare_file_has_nothing_to_say(profile, as_bytes, scenery):
    for kind in ("jpeg", "png"):
        facts = inspect_image(as_bytes(scenery, kind), kind, profile=profile)
        assert facts.metadata_fields == ()
        assert (facts.latitude, facts.captured_at, facts.has_thumbnail, facts.extra_images) == (
            None,
            None,
            False,
            0,
        )


def xmp(**properties: str) -> bytes:
    """An XMP packet with properties of the EXIF schema, the first as an attribute, the others as elements."""
    (first, value), *others = properties.items()
    elements = "".join(f"<exif:{name}>{text}</exif:{name}>" for name, text in others)
    return (
        '<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description xmlns:exif="http://ns.adobe.com/exif/1.0/" exif:{first}="{value}">{elements}'
        '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()


def with_xmp(picture, packet: bytes, kind: str = "jpeg", **options: object) -> bytes:
    out = io.BytesIO()
    if kind == "jpeg":
        picture.save(out, format="JPEG", xmp=packet, **options)
    else:
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", packet.decode())
        picture.save(out, format="PNG", pnginfo=info, **options)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["jpeg", "png"])
@pytest.mark.parametrize(
    ("latitude", "longitude", "expected"),
    [
        ("39,54.4584N", "116,23.2833E", (39.90764, 116.388055)),
        ("39,54,27S", "116,23,17W", (-39.9075, -116.388056)),
        ("39.9075", "-116.388056", (39.9075, -116.388056)),
    ],
)
def test_a_position_in_xmp_is_a_position(picture, profile, kind, latitude, longitude, expected):
    content = with_xmp(picture, xmp(GPSLatitude=latitude, GPSLongitude=longitude), kind)
    facts = inspect_image(content, kind, profile=profile)
    assert (facts.latitude, facts.longitude) == pytest.approx(expected, abs=1e-6)


def test_what_drones_write_is_a_position(picture, profile):
    packet = xmp(GpsLatitude="+22.5", GpsLongtitude="+113.9")
    facts = inspect_image(with_xmp(picture, packet), "jpeg", profile=profile)
    assert (facts.latitude, facts.longitude) == (22.5, 113.9)


def test_a_position_in_extended_xmp_is_a_position(planted, profile, as_bytes, scenery):
    packet = xmp(GPSLatitude="39,54N", GPSLongitude="116,23E")
    head, tail = packet[:100], packet[100:]
    prefix = b"http://ns.adobe.com/xmp/extension/\x00" + b"A" * 32 + len(packet).to_bytes(4, "big")
    parts = [
        planted.segment(0xE1, prefix + (100).to_bytes(4, "big") + tail),
        planted.segment(0xE1, prefix + (0).to_bytes(4, "big") + head),
    ]
    content = as_bytes(scenery)
    facts = inspect_image(content[:2] + b"".join(parts) + content[2:], "jpeg", profile=profile)
    assert (facts.latitude, facts.longitude) == pytest.approx((39.9, 116 + 23 / 60))


@pytest.mark.parametrize(
    ("packet", "message"),
    [
        (xmp(GPSLatitude="39,54N"), "incomplete"),
        (xmp(GPSLatitude="91,0N", GPSLongitude="1,0E"), "out of range"),
        (xmp(GPSLatitude="39,75N", GPSLongitude="1,0E"), "out of range"),
        (xmp(GPSLatitude="39,54E", GPSLongitude="1,0E"), "cannot be read"),
        (xmp(GPSLatitude="somewhere", GPSLongitude="1,0E"), "cannot be read"),
        (xmp(GPSLatitude="1,0N", GPSLongitude="1,0E", GpsLatitude="2.0"), "different places"),
        (b"<x:xmpmeta", "cannot be read"),
        (b'<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>', "cannot be read"),
    ],
)
def test_xmp_that_hides_a_position_stops_the_item(picture, profile, packet, message):
    with pytest.raises(MalformedItemError, match=message) as caught:
        inspect_image(with_xmp(picture, packet), "jpeg", profile=profile)
    assert "39" not in str(caught.value)


def test_exif_and_xmp_that_name_different_places_stop_the_item(planted, picture, profile):
    exif = planted.exif(latitude=(39.0, 54.0, 27.5), longitude=(116.0, 23.0, 17.0))
    near = xmp(GPSLatitude="39,54.46N", GPSLongitude="116,23.28E")
    far = xmp(GPSLatitude="39,54.60N", GPSLongitude="116,23.28E")
    assert inspect_image(with_xmp(picture, near, exif=exif), "jpeg", profile=profile).latitude is not None
    with pytest.raises(MalformedItemError, match="different places"):
        inspect_image(with_xmp(picture, far, exif=exif), "jpeg", profile=profile)


def test_real_photographs_with_gps_are_read(samples, profile):
    photographs = [p for p in (samples / "media" / "exif_gps").iterdir() if p.suffix.lower() == ".jpg"]
    assert photographs
    facts = [inspect_image(p.read_bytes(), "jpeg", profile=profile) for p in photographs]
    assert any(f.latitude is not None for f in facts)
    assert all(f.metadata_fields for f in facts)
