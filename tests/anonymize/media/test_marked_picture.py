"""Whoever keeps a screenshot of what they were shown is named all over it."""

import io

import numpy as np
import pytest
from PIL import Image as PillowImage

from anonymize.media.marked_picture import LONGEST_PX, marked_picture


def _opened(content: bytes) -> PillowImage.Image:
    return PillowImage.open(io.BytesIO(content))


def test_every_part_is_marked_and_nothing_else_is_told() -> None:
    grey = np.full((600, 900, 3), 128, np.uint8)
    shown = _opened(marked_picture(grey, mark="bg-1 operator-1 2026-05-03T08:00:00Z"))
    assert (shown.format, shown.size, shown.info) == ("PNG", (900, 600), {})
    changed = np.any(np.asarray(shown) != 128, axis=2)
    for top in range(0, 600, 150):
        for left in range(0, 900, 150):
            assert changed[top : top + 150, left : left + 150].mean() > 0.01, (top, left)


def test_another_mark_gives_another_picture() -> None:
    grey = np.full((300, 300, 3), 128, np.uint8)
    assert marked_picture(grey, mark="one") != marked_picture(grey, mark="two")


def test_a_large_picture_is_reduced() -> None:
    large = np.zeros((1500, 3000, 3), np.uint8)
    assert _opened(marked_picture(large, mark="x")).size == (LONGEST_PX, LONGEST_PX // 2)


@pytest.mark.parametrize("mark", ["", "  ", "张"])
def test_no_picture_goes_unmarked(mark: str) -> None:
    with pytest.raises(ValueError, match="mark"):
        marked_picture(np.zeros((8, 8, 3), np.uint8), mark=mark)


@pytest.mark.parametrize("shape", [(8, 8), (0, 8, 3), (8, 8, 4)])
def test_what_is_no_picture_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="picture"):
        marked_picture(np.zeros(shape, np.uint8), mark="x")
