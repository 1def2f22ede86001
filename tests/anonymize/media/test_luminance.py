"""Day, dusk and night by median luma."""

import numpy as np
import pytest

from anonymize.media.luminance import light_of, median_luma


@pytest.mark.parametrize(
    ("grey", "light"), [(0, "night"), (35, "night"), (36, "dusk"), (59, "dusk"), (60, "day"), (255, "day")]
)
def test_grey_pictures_lie_on_the_right_side_of_each_bound(grey, light):
    assert light_of(np.full((9, 7, 3), grey, np.uint8)) == light


def test_luma_weighs_colours_as_rec_709_says():
    for channel, expected in enumerate((54.213, 182.376, 18.411)):
        image = np.zeros((4, 4, 3), np.uint8)
        image[..., channel] = 255
        assert median_luma(image) == pytest.approx(expected, abs=1e-3)


def test_headlamps_do_not_turn_night_into_day():
    image = np.full((100, 100, 3), 12, np.uint8)
    image[40:60, 10:90] = 255
    assert light_of(image) == "night"


def test_a_large_picture_is_sampled_all_over():
    image = np.full((2000, 3000, 3), 200, np.uint8)
    image[:, 1000:] = 20
    assert light_of(image) == "night"


def test_anything_but_rgb_bytes_is_refused():
    for wrong in (np.zeros((4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8), np.zeros((4, 4, 3), np.float32)):
        with pytest.raises(ValueError, match="H×W×3 uint8"):
            light_of(wrong)
