"""Law 5 for EXIF: what a reader would skip with a warning stops the image."""

import io
import struct
import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from anonymize.errors import AnonymizeError, MalformedItemError
from anonymize.media.exif_structure import PREFIX, exif_of, require_whole
from anonymize.media.image_facts import inspect_image
from anonymize.media.jpeg_markers import walk_jpeg
from anonymize.media.png_chunks import walk_png

_LATITUDE = 0x0002


@pytest.fixture(scope="module")
def photograph(planted, scenery):
    return planted.jpeg(Image.fromarray(scenery[:32, :32]))


@pytest.fixture(scope="module")
def block(photograph):
    return exif_of(walk_jpeg(photograph))


def _entry(block: bytes, tag: int) -> int:
    """Offset of the entry of a tag in the GPS directory (Pillow writes big-endian)."""
    at = 8
    for directory in (0x8825, tag):
        (count,) = struct.unpack_from(">H", block, at)
        entries = range(at + 2, at + 2 + 12 * count, 12)
        found = next(e for e in entries if struct.unpack_from(">H", block, e)[0] == directory)
        (at,) = struct.unpack_from(">I", block, found + 8)
    return found


def _with(block: bytes, at: int, value: bytes) -> bytes:
    return block[:at] + value + block[at + len(value) :]


def test_whole_blocks_pass_in_every_container(planted, scenery, block):
    require_whole(block)
    require_whole(b"")
    png = planted.png(Image.fromarray(scenery[:32, :32]))
    assert exif_of(walk_png(png)).startswith((b"MM", b"II"))
    require_whole(exif_of(walk_png(png)))


def test_a_directory_that_two_pointers_name_is_read_once():
    """Seen in a real camera's file: the main directory's successor is the GPS directory."""
    main = struct.pack("<HHHIII", 1, 0x8825, 4, 1, 26, 26)
    gps = struct.pack("<HHHI4sI", 1, 0x0001, 2, 2, b"N\x00\x00\x00", 26)
    require_whole(b"II*\x00" + struct.pack("<I", 8) + main + gps)


@pytest.mark.parametrize(
    ("name", "message"),
    {
        "no byte order": "no byte order",
        "first directory outside": "it ends at byte",
        "value outside": "outside the block",
        "unknown type": "unknown type",
        "count beyond the block": "outside the block",
        "cut": "it ends at byte|outside the block",
    }.items(),
)
def test_damage_is_named(block, photograph, profile, name, message):
    entry = _entry(block, _LATITUDE)
    damaged = {
        "no byte order": b"XX" + block[2:],
        "first directory outside": _with(block, 4, struct.pack(">I", len(block) - 1)),
        "value outside": _with(block, entry + 8, struct.pack(">I", len(block) - 8)),
        "unknown type": _with(block, entry + 2, struct.pack(">H", 99)),
        "count beyond the block": _with(block, entry + 4, struct.pack(">I", 1 << 30)),
        "cut": block[: len(block) // 2],
    }[name]
    with pytest.raises(MalformedItemError, match=message):
        require_whole(damaged)
    start = photograph.index(PREFIX + block)
    whole = photograph[start - 4 : start] + PREFIX + block
    segment = photograph[start - 4 : start - 2] + struct.pack(">H", len(PREFIX + damaged) + 2)
    with pytest.raises(MalformedItemError, match=message):
        inspect_image(photograph.replace(whole, segment + PREFIX + damaged), "jpeg", profile=profile)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_block_is_read_whole_or_refused(photograph, block, profile, data):
    """Nothing between: Pillow's warning that it skipped something would be an error here."""
    start = photograph.index(block)
    content = bytearray(photograph)
    for _ in range(data.draw(st.integers(1, 4))):
        content[start + data.draw(st.integers(0, len(block) - 1))] = data.draw(st.integers(0, 255))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            facts = inspect_image(bytes(content), "jpeg", profile=profile)
        except AnonymizeError:
            return
    assert facts.width == Image.open(io.BytesIO(photograph)).width
