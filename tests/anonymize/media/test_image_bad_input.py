# ruff: noqa: ARG002 - the detector of the tests ignores what it is asked
import io
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from anonymize.errors import AnonymizeError, LimitExceededError, MalformedItemError
from anonymize.finding import FindingKind
from anonymize.media.detection import Look
from anonymize.media.image_decoding import decode_upright, open_image, require_whole
from anonymize.media.images import cleanse_image, inspect_image
from anonymize.media.mask_file import decode_mask


class Blind:
    name = "blind"
    digest = "b" * 64
    kinds = frozenset({FindingKind.FACE, FindingKind.PLATE})

    def detect(self, image, *, threshold, look=Look.MASKING):
        return ()


def _opened(content, kind, profile):
    return decode_upright(open_image(content, kind, profile=profile))


def _resized(jpeg: bytes, width: int, height: int) -> bytes:
    """The same JPEG with other numbers in its frame header."""
    at = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:at] + struct.pack(">HH", height, width) + jpeg[at + 4 :]


@pytest.fixture(scope="session")
def png_header(planted):
    def build(width: int, height: int, depth: int = 8) -> bytes:
        header = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
        return b"\x89PNG\r\n\x1a\n" + planted.chunk(b"IHDR", header) + planted.chunk(b"IEND", b"")

    return build


@pytest.mark.parametrize("kind", ["jpeg", "png"])
@pytest.mark.parametrize("size", [(0, 0), (0, 64), (64, 0)])
def test_images_without_pixels_are_named(png_header, as_bytes, scenery, profile, kind, size):
    content = _resized(as_bytes(scenery), *size) if kind == "jpeg" else png_header(*size)
    with pytest.raises(MalformedItemError, match=rf"no pixels \(got {size[0]}×{size[1]}\)"):
        inspect_image(content, kind, profile=profile)


@pytest.mark.parametrize("kind", ["jpeg", "png"])
@pytest.mark.parametrize("size", [(30_000, 30_000), (30_000, 20), (65_535, 65_535), (16_000, 16_000)])
def test_decompression_bombs_are_refused_from_their_header(
    png_header, as_bytes, scenery, profile, kind, size
):
    content = _resized(as_bytes(scenery), *size) if kind == "jpeg" else png_header(*size)
    with pytest.raises(LimitExceededError, match=rf"too large \(got {size[0]}×{size[1]}"):
        inspect_image(content, kind, profile=profile)


@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_images_below_the_least_size_are_refused(as_bytes, scenery, profile, kind):
    with pytest.raises(LimitExceededError, match="too small"):
        inspect_image(as_bytes(scenery[:8, :8], kind), kind, profile=profile)


@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_empty_and_foreign_files_are_refused(as_bytes, scenery, profile, kind):
    other = as_bytes(scenery, "png" if kind == "jpeg" else "jpeg")
    for content in (b"", b"hello, world", other, b"\xff\xd8", b"\x89PNG\r\n\x1a\n"):
        with pytest.raises(MalformedItemError):
            inspect_image(content, kind, profile=profile)


@pytest.mark.parametrize("kind", ["jpeg", "png"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_truncated_files_are_refused(as_bytes, scenery, profile, kind, share):
    content = as_bytes(scenery, kind)
    with pytest.raises(MalformedItemError, match="truncated"):
        inspect_image(content[: int(len(content) * share)], kind, profile=profile)


def test_a_corrupt_png_chunk_is_refused(as_bytes, scenery, profile):
    content = bytearray(as_bytes(scenery, "png"))
    content[60] ^= 0x55
    with pytest.raises(MalformedItemError, match="checksum"):
        inspect_image(bytes(content), "png", profile=profile)


def test_png_data_that_do_not_inflate_are_refused(png_header, planted, profile):
    good = png_header(64, 64)
    content = good[:-12] + planted.chunk(b"IDAT", b"no zlib stream") + good[-12:]
    with pytest.raises(MalformedItemError, match="cannot be decoded"):
        _opened(content, "png", profile)


def test_animated_png_is_refused(scenery, profile):
    out = io.BytesIO()
    frames = [Image.fromarray(scenery), Image.fromarray(scenery[::-1])]
    frames[0].save(out, format="PNG", save_all=True, append_images=frames[1:])
    with pytest.raises(MalformedItemError, match="animated"):
        inspect_image(out.getvalue(), "png", profile=profile)


def test_16_bit_png_is_refused(png_header, scenery, profile):
    out = io.BytesIO()
    Image.fromarray(scenery[..., 0].astype("uint16") * 256).save(out, format="PNG")
    for content in (out.getvalue(), png_header(64, 64, depth=16)):
        with pytest.raises(MalformedItemError, match="16-bit"):
            inspect_image(content, "png", profile=profile)


@pytest.mark.parametrize(
    ("mode", "kind"), [("CMYK", "jpeg"), ("L", "jpeg"), ("L", "png"), ("P", "png"), ("1", "png")]
)
def test_other_pixel_modes_are_converted(scenery, profile, mode, kind):
    out = io.BytesIO()
    Image.fromarray(scenery).convert(mode).save(out, format=kind.upper())
    image, grey = _opened(out.getvalue(), kind, profile)
    assert image.shape == (96, 128, 3)
    assert grey == (mode in {"L", "1"})


def test_what_transparency_hides_is_not_released(scenery, profile):
    clear = Image.fromarray(scenery).convert("RGBA")
    clear.putalpha(0)
    out = io.BytesIO()
    clear.save(out, format="PNG")
    image, _ = _opened(out.getvalue(), "png", profile)
    assert not image.any()


def test_arithmetic_coding_is_refused(as_bytes, scenery, profile):
    content = as_bytes(scenery).replace(b"\xff\xc0", b"\xff\xc9", 1)
    with pytest.raises(MalformedItemError, match="ffc9"):
        inspect_image(content, "jpeg", profile=profile)


def _jpeg(image, **options) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, format="JPEG", **options)
    return out.getvalue()


WAYS = {
    "4:2:0": {},
    "4:2:2": {"subsampling": 1},
    "4:4:4": {"subsampling": 0, "quality": 97},
    "own tables": {"optimize": True},
    "restarts": {"restart_marker_blocks": 3},
    "rows": {"restart_marker_rows": 1},
    "progressive": {"progressive": True},
}


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("size", [(96, 128), (97, 131), (16, 17)])
@pytest.mark.parametrize("way", WAYS)
def test_whole_data_are_whole_however_they_are_coded(profile, way, size, mode):
    pixels = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(out, format="JPEG", **WAYS[way])
    content = out.getvalue()
    require_whole(content, open_image(content, "jpeg", profile=profile), profile=profile)


@pytest.mark.parametrize("way", WAYS)
def test_a_lost_disk_sector_in_the_data_stops_the_item(street, profile, way):
    """libjpeg paints over it: the same file passes Pillow."""
    pixels = np.asarray(Image.open(io.BytesIO(street)))
    content = bytearray(_jpeg(pixels, **WAYS[way]))
    middle = content.index(b"\xff\xda") + len(content) // 2
    content[middle : middle + 512] = bytes(512)
    Image.open(io.BytesIO(bytes(content))).load()
    with pytest.raises(MalformedItemError, match=r"damaged|out of turn"):
        require_whole(bytes(content), open_image(bytes(content), "jpeg", profile=profile), profile=profile)
    with pytest.raises(MalformedItemError, match=r"damaged|out of turn"):
        cleanse_image(bytes(content), "jpeg", detectors=[Blind()], profile=profile)


@pytest.mark.parametrize("way", ["4:2:0", "restarts", "4:4:4"])
@pytest.mark.parametrize("what", ["missing", "left over"])
def test_missing_and_surplus_data_stop_the_item(scenery, profile, way, what):
    content = _jpeg(scenery, **WAYS[way])
    content = content[:-6] + content[-2:] if what == "missing" else content[:-2] + bytes(4) + content[-2:]
    with pytest.raises(MalformedItemError, match="damaged"):
        require_whole(content, open_image(content, "jpeg", profile=profile), profile=profile)


@pytest.mark.parametrize("swap", [b"\xff\xd3", b""])
def test_restart_markers_out_of_turn_stop_the_item(scenery, profile, swap):
    content = _jpeg(scenery, restart_marker_blocks=3)
    content = content.replace(b"\xff\xd1", swap, 1)
    with pytest.raises(MalformedItemError, match="out of turn"):
        require_whole(content, open_image(content, "jpeg", profile=profile), profile=profile)


def test_data_longer_than_a_chunk_are_followed_to_their_end(profile):
    pixels = np.random.default_rng(2).integers(0, 256, (640, 640, 3), np.uint8)
    content = _jpeg(pixels, quality=95, subsampling=0)
    assert len(content) > 1 << 19
    opened = open_image(content, "jpeg", profile=profile)
    require_whole(content, opened, profile=profile)
    broken = content[:-1002] + content[-2:]
    with pytest.raises(MalformedItemError, match="damaged"):
        require_whole(broken, open_image(broken, "jpeg", profile=profile), profile=profile)


def test_photographs_of_many_cameras_are_whole(shared_data, profile):
    folders = [shared_data / "formats" / "exif", shared_data / "media" / "exif_gps"]
    files = [p for f in folders for p in f.iterdir() if p.read_bytes()[:3] == b"\xff\xd8\xff"]
    assert len(files) > 5
    for path in sorted(files)[:5]:
        content = path.read_bytes()
        require_whole(content, open_image(content, "jpeg", profile=profile), profile=profile)


@pytest.mark.parametrize("size", [(17, 16), (33, 641), (161, 47)])
def test_odd_sizes_stay_as_they_are(profile, as_bytes, size):
    pixels = np.random.default_rng(3).integers(0, 256, (*size, 3), np.uint8)
    for kind in ("jpeg", "png"):
        treated = cleanse_image(as_bytes(pixels, kind), kind, detectors=[Blind()], profile=profile)
        assert Image.open(io.BytesIO(treated.content)).size == size[::-1]
        assert decode_mask(treated.mask).shape == size


def test_a_fisheye_is_an_image_like_others(profile, street, detectors, as_bytes):
    """A round picture on black: nothing is found in the black, and faces in the middle are."""
    pixels = np.asarray(Image.open(io.BytesIO(street))).copy()
    y, x = np.mgrid[0 : pixels.shape[0], 0 : pixels.shape[1]]
    pixels[(x - 300) ** 2 + (y - 160) ** 2 > 160**2] = 0
    treated = cleanse_image(as_bytes(pixels), "jpeg", detectors=detectors, profile=profile)
    boxes = [f.where for f in treated.findings if f.kind is FindingKind.FACE]
    assert all(pixels[b.y0 : b.y1, b.x0 : b.x1].any() for b in boxes)


def test_a_panorama_12k_wide_passes(profile, as_bytes):
    content = as_bytes(np.full((1536, 12288), 90, np.uint8))
    treated = cleanse_image(content, "jpeg", detectors=[Blind()], profile=profile)
    assert Image.open(io.BytesIO(treated.content)).size == (12288, 1536)


def test_memory_grows_by_a_bounded_multiple_of_the_pixels(profile, as_bytes):
    """The original, its masked copy, what is written anew and read again, and truth values: six at most."""
    peaks = []
    for height in (512, 512, 1536):  # the first run also fills caches
        content = as_bytes(np.full((height, 1024, 3), 90, np.uint8))
        tracemalloc.start()
        cleanse_image(content, "jpeg", detectors=[Blind()], profile=profile)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] - peaks[1] < 6 * 1024 * 1024 * 3


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_orientations_that_do_not_exist(planted, scenery, profile, orientation):
    content = planted.jpeg(Image.fromarray(scenery), orientation=orientation, trailer=b"")
    if orientation == 0:
        assert inspect_image(content, "jpeg", profile=profile).orientation == 1
        return
    with pytest.raises(MalformedItemError, match="orientation"):
        inspect_image(content, "jpeg", profile=profile)


@pytest.mark.parametrize("kind", ["jpeg", "png"])
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_is_decoded_or_refused_with_a_named_error(planted, scenery, profile, kind, data):
    content = bytearray(getattr(planted, kind)(Image.fromarray(scenery[:32, :32])))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(len(content) // 2, len(content)))]
    try:
        inspect_image(bytes(content), kind, profile=profile)
        image, _ = _opened(bytes(content), kind, profile)
    except AnonymizeError:
        return
    assert image.dtype == "uint8"
    assert image.ndim == 3
