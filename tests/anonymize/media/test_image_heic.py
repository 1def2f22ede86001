# ruff: noqa: ARG002 - the detector of the tests ignores what it is asked
import io

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from anonymize.errors import LimitExceededError, MalformedItemError
from anonymize.finding import FindingKind
from anonymize.media.detection import Look
from anonymize.media.heif_boxes import is_heif, require_whole
from anonymize.media.images import cleanse_image, inspect_image, scan_image

XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:exif="http://ns.adobe.com/exif/1.0/" exif:GPSLatitude="39,54.4584N"'
    b' exif:GPSLongitude="116,23.2833E"/></rdf:RDF></x:xmpmeta>'
)


class Blind:
    name = "blind"
    digest = "b" * 64
    kinds = frozenset({FindingKind.FACE, FindingKind.PLATE})

    def detect(self, image, *, threshold, look=Look.MASKING):
        return ()


def heic(*images: np.ndarray, **options: object) -> bytes:
    file = pillow_heif.HeifFile()
    for image in images:
        mode = "RGBA" if image.shape[2] == 4 else "RGB"
        file.add_frombytes(mode, (image.shape[1], image.shape[0]), image.tobytes())
    out = io.BytesIO()
    file.save(out, quality=80, **options)
    return out.getvalue()


@pytest.fixture(scope="module")
def content(scenery, planted):
    exif = planted.exif(latitude=(39.0, 54.0, 27.5), longitude=(116.0, 23.0, 17.0)).tobytes()
    return heic(scenery, exif=exif, xmp=XMP)


def test_facts_are_read_without_decoding(content, profile):
    facts = inspect_image(content, "heic", profile=profile)
    assert (facts.width, facts.height, facts.mode, facts.extra_images) == (128, 96, "RGB", 0)
    assert facts.latitude == pytest.approx(39.907639, abs=1e-5)
    assert facts.longitude == pytest.approx(116.388056, abs=1e-5)
    assert facts.captured_at is not None
    assert {"exif", "xmp", "exif:Make"} <= set(facts.metadata_fields)


def test_it_leaves_as_a_bare_jpeg(content, scenery, planted, profile):
    treated = cleanse_image(content, "heic", detectors=[Blind()], profile=profile)
    assert treated.media_type == "image/jpeg"
    pixels = np.asarray(Image.open(io.BytesIO(treated.content)))
    assert np.abs(pixels.astype(int) - scenery).mean() < 6
    for canary in (*planted.CANARIES, b"Exif", b"xmp", b"GPS"):
        assert canary not in treated.content
    for kind in ("jpeg", "heic"):
        assert scan_image(treated.content, kind, detectors=[Blind()], profile=profile, masked=()).clean


def test_a_position_in_xmp_alone_is_a_position(scenery, profile):
    facts = inspect_image(heic(scenery, xmp=XMP), "heic", profile=profile)
    assert (facts.latitude, facts.longitude) == (pytest.approx(39.90764), pytest.approx(116.388055))


def test_further_images_are_counted_and_do_not_leave(scenery, profile):
    other = scenery[::2, ::2].copy()
    content = heic(scenery, other)
    facts = inspect_image(content, "heic", profile=profile)
    assert (facts.width, facts.height, facts.extra_images) == (128, 96, 1)
    treated = cleanse_image(content, "heic", detectors=[Blind()], profile=profile)
    assert Image.open(io.BytesIO(treated.content)).size == (128, 96)
    assert [f.where.path for f in treated.findings if f.kind is FindingKind.EMBEDDED_IMAGE] == ["heif.image"]


def test_transparency_hides(scenery, profile):
    clear = np.dstack([scenery, np.zeros(scenery.shape[:2], np.uint8)])
    treated = cleanse_image(heic(clear), "heic", detectors=[Blind()], profile=profile)
    assert np.asarray(Image.open(io.BytesIO(treated.content))).max() < 8


def test_more_than_8_bits_are_refused(profile):
    samples = np.random.default_rng(0).integers(0, 65535, (96, 128, 3), np.uint16)
    out = io.BytesIO()
    pillow_heif.from_bytes("RGB;16", (128, 96), samples.tobytes()).save(out)
    with pytest.raises(MalformedItemError, match="10-bit heic"):
        inspect_image(out.getvalue(), "heic", profile=profile)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9, 0.999])
def test_truncation_is_refused(content, profile, share):
    with pytest.raises(MalformedItemError):
        inspect_image(content[: int(len(content) * share)], "heic", profile=profile)


def test_stray_bytes_and_video_behind_the_image(content, profile):
    with pytest.raises(MalformedItemError, match="truncated"):
        inspect_image(content + b"stray", "heic", profile=profile)
    moving = content + (16).to_bytes(4, "big") + b"moov" + b"CANARY-M"
    assert inspect_image(moving, "heic", profile=profile).extra_images == 1
    assert b"CANARY-M" not in cleanse_image(moving, "heic", detectors=[Blind()], profile=profile).content


def test_damage_that_breaks_the_syntax_stops_the_item(street, profile):
    """HEVC reads on through much damage: a third to a half of it is seen (docs/images.md)."""
    content = heic(np.array(Image.open(io.BytesIO(street))))
    start, seen = content.index(b"mdat") + 300, 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        damaged = bytearray(content)
        at = int(rng.integers(start, len(content) - 512))
        damaged[at : at + 512] = rng.integers(0, 256, 512, np.uint8).tobytes()
        try:
            require_whole(bytes(damaged), max_pixels=profile.max_pixels)
        except MalformedItemError:
            seen += 1
    assert seen >= 3


def test_data_that_are_not_there_stop_the_item(scenery, profile):
    content = heic(scenery)
    start = content.index(b"mdat") + 4
    emptied = content[:start] + bytes(len(content) - start)
    with pytest.raises(MalformedItemError, match="damaged"):
        cleanse_image(emptied, "heic", detectors=[Blind()], profile=profile)


def test_sizes_are_limited(scenery, profile):
    with pytest.raises(LimitExceededError, match="too small"):
        inspect_image(heic(scenery[:8, :8].copy()), "heic", profile=profile)


def test_other_files_are_no_heif(as_bytes, scenery):
    assert is_heif(heic(scenery))
    for other in (b"", b"\x00\x00\x00\x18ftypavif\x00\x00\x00\x00mif1avif", as_bytes(scenery), b"\x00" * 40,
                  b"\x00\x00\x00\x14ftypisom\x00\x00\x00\x00mp42"):  # fmt: skip
        assert not is_heif(other)


def test_a_photograph_of_an_iphone(shared_data, profile):
    content = (shared_data / "formats" / "exif" / "iphone_13_pro_max.HEIC").read_bytes()
    facts = inspect_image(content, "heic", profile=profile)
    assert (facts.width, facts.height) == (3024, 4032), "upright"
    assert facts.has_thumbnail
    assert facts.extra_images == 1, "the gain map"
    assert {"heif.auxiliary_image", "heif.thumbnail", "icc_profile", "exif:MakerNote"} <= set(
        facts.metadata_fields
    )
    treated = cleanse_image(content, "heic", detectors=[Blind()], profile=profile)
    assert Image.open(io.BytesIO(treated.content)).size == (3024, 4032)
    assert b"Apple" not in treated.content
