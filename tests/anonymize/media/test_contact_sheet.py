import io
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from anonymize.finding import FieldPath, Finding, FindingKind, FrameBox, PixelBox
from anonymize.media.contact_sheet import Crop, contact_sheets, crop_of
from anonymize.media.png_chunks import walk_png


def found(box: PixelBox, frame: int | None = None) -> Finding:
    where = box if frame is None else FrameBox(frame=frame, box=box)
    return Finding(kind=FindingKind.PLATE, where=where, confidence=0.876, detector="test@0")


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    pixels = np.zeros((400, 600, 3), np.uint8)
    pixels[100:120, 200:260] = (10, 200, 30)
    return pixels


def test_a_crop_shows_the_place_and_some_surroundings(image):
    crop = crop_of(image, found(PixelBox(x0=200, y0=100, x1=260, y1=120)), item="0123456789abcdef")
    assert crop.captions == ("01234567", "plate 0.88")
    assert max(crop.pixels.shape[:2]) == 160
    box = crop.box
    assert (crop.pixels[box.y0 + 1 : box.y1 - 1, box.x0 + 1 : box.x1 - 1] == (10, 200, 30)).all()
    assert not crop.pixels[: box.y0 - 1].any()
    assert box.x0 > 20


def test_frames_are_named_and_borders_clip(image):
    crop = crop_of(image, found(PixelBox(x0=0, y0=380, x1=40, y1=400), frame=17), item="abc")
    assert crop.captions[0] == "abc frame 17"
    assert crop.box.x0 == 0
    assert crop.box.y1 == crop.pixels.shape[0]


def test_small_places_are_enlarged_four_times_at_most(image):
    crop = crop_of(image, found(PixelBox(x0=10, y0=10, x1=14, y1=14)), item="x")
    assert crop.pixels.shape == (48, 48, 3)


def test_findings_without_a_place_in_the_image_are_refused(image):
    nowhere = Finding(kind=FindingKind.METADATA, where=FieldPath(path="x"), confidence=1.0, detector="t@0")
    with pytest.raises(ValueError, match="pixel boxes"):
        crop_of(image, nowhere, item="x")
    with pytest.raises(ValueError, match="does not lie in the image"):
        crop_of(image, found(PixelBox(x0=590, y0=0, x1=601, y1=9)), item="x")


def tile(value: int) -> Crop:
    return Crop(
        pixels=np.full((20, 20, 3), value, np.uint8),
        box=PixelBox(x0=2, y0=2, x1=8, y1=8),
        captions=("a", "b"),
    )


def test_pages_hold_what_fits_and_are_made_one_at_a_time():
    taken = 0

    def endless() -> Iterator[Crop]:
        nonlocal taken
        while True:
            taken += 1
            yield tile(taken % 200 + 40)

    pages = contact_sheets(endless(), columns=3, rows=2, tile_px=20)
    next(pages)
    assert taken == 6
    next(pages)
    assert taken == 12


def test_the_order_is_kept_and_nothing_but_pixels_is_written():
    first, last = contact_sheets((tile(100 + i) for i in range(5)), columns=2, rows=2, tile_px=20)
    pixels = np.asarray(Image.open(io.BytesIO(first)))
    order = [int(v) for v in pixels[..., 0].ravel() if 100 <= v < 105 and v != 105]
    assert [v for v in dict.fromkeys(order) if v in range(100, 104)] == [100, 101, 102, 103]
    assert np.asarray(Image.open(io.BytesIO(last))).shape[0] < pixels.shape[0]
    assert {c.kind for c in walk_png(first).chunks} == {"IHDR", "IDAT", "IEND"}


def test_no_crops_make_no_page_and_wrong_sizes_are_refused():
    assert list(contact_sheets([])) == []
    with pytest.raises(ValueError, match="positive"):
        next(contact_sheets([tile(0)], columns=0))
    with pytest.raises(ValueError, match="larger than a tile"):
        next(contact_sheets([tile(0)], tile_px=19))
