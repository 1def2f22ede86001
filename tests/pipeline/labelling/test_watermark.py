"""The mark: it is read on any ground, differs with person and time, and leaves the picture usable."""

import io
import math
from datetime import UTC, datetime

import numpy as np
import pytest
from PIL import Image

from pipeline.labelling.errors import PictureError
from pipeline.labelling.watermark import LEAST_STEP, MOST_STEP, blended, marked, picture_size, tiling

AT = datetime(2026, 9, 14, 1, 30, 5, tzinfo=UTC)
SIZE = (640, 400)
GROUNDS = {
    "night": np.full((400, 640, 3), 4, np.uint8),
    "asphalt": np.full((400, 640, 3), 84, np.uint8),
    "middle": np.full((400, 640, 3), 128, np.uint8),
    "sky": np.full((400, 640, 3), 235, np.uint8),
    "snow": np.full((400, 640, 3), 255, np.uint8),
    "leaves": np.random.default_rng(1).integers(0, 256, (400, 640, 3)).astype(np.uint8),
}


def content(pixels: np.ndarray, form: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, form)
    return out.getvalue()


@pytest.mark.parametrize("ground", GROUNDS)
def test_the_text_departs_from_any_ground_by_a_step_that_is_read(ground: str):
    pixels = GROUNDS[ground]
    text = tiling(SIZE, ("wang  2026-09-14 01:30:05Z", "task-0123456789ab"))

    shown = blended(pixels, text).astype(float)

    inked = text > 0.5
    step = float((np.abs(shown - pixels) / np.maximum(text, 0.5)[..., None])[inked].mean())
    assert 0.02 < inked.mean() < 0.2
    assert (LEAST_STEP if ground != "leaves" else 30) - 1 <= step <= MOST_STEP
    assert (shown == pixels)[text == 0].all()
    noise = float(((shown - pixels) ** 2).mean())
    assert 10 * math.log10(255**2 / noise) > (24 if ground == "leaves" else 29)


def test_every_quarter_of_the_picture_carries_it():
    text = tiling(SIZE, ("wang  2026-09-14 01:30:05Z", "task-0123456789ab"))

    for rows in np.split(text, 2):
        for part in np.split(rows, 2, axis=1):
            assert (part > 0.5).mean() > 0.02


def test_person_time_and_task_each_change_the_pixels_and_the_same_gives_the_same():
    picture = content(GROUNDS["asphalt"])
    first = marked(picture, person="wang", task="task-1", at=AT)

    assert marked(picture, person="wang", task="task-1", at=AT) == first
    for change in ({"person": "li"}, {"task": "task-2"}, {"at": AT.replace(second=6)}):
        assert (
            marked(picture, **{"person": "wang", "task": "task-1", "at": AT, **change}).content
            != first.content
        )  # type: ignore[arg-type]


def test_metadata_of_the_picture_stay_behind():
    picture = Image.fromarray(GROUNDS["sky"])
    exif = Image.Exif()
    exif[0x010F] = "maker of a camera"
    out = io.BytesIO()
    picture.save(out, "JPEG", exif=exif, comment=b"a remark")

    shown = marked(out.getvalue(), person="wang", task="task-1", at=AT)

    assert (shown.width, shown.height) == SIZE == picture_size(shown.content)
    assert b"maker of a camera" not in shown.content
    assert b"a remark" not in shown.content


@pytest.mark.parametrize("kind", ["RGBA", "L", "P", "I;16", "CMYK"])
def test_pictures_of_other_modes_are_shown(kind: str):
    out = io.BytesIO()
    if kind == "I;16":
        Image.fromarray(np.full((40, 60), 30_000, np.uint16)).save(out, "PNG")
    else:
        Image.new("RGB", (60, 40), (90, 90, 90)).convert(kind).save(out, "TIFF" if kind == "CMYK" else "PNG")

    assert marked(out.getvalue(), person="wang", task="task-1", at=AT).width == 60


@pytest.mark.parametrize("broken", [b"", b"no picture", content(GROUNDS["sky"])[:900]])
def test_what_is_no_picture_is_refused(broken: bytes):
    with pytest.raises(PictureError):
        marked(broken, person="wang", task="task-1", at=AT)
