import io
from datetime import UTC, datetime

import pytest
from PIL import Image

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


def test_real_photographs_with_gps_are_read(samples, profile):
    photographs = [p for p in (samples / "media" / "exif_gps").iterdir() if p.suffix.lower() == ".jpg"]
    assert photographs
    facts = [inspect_image(p.read_bytes(), "jpeg", profile=profile) for p in photographs]
    assert any(f.latitude is not None for f in facts)
    assert all(f.metadata_fields for f in facts)
