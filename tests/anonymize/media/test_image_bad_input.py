import io
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from anonymize.errors import AnonymizeError, LimitExceededError, MalformedItemError
from anonymize.media.image_decoding import decode_upright, open_image
from anonymize.media.images import inspect_image


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
