import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from anonymize.media.mask_file import decode_mask, encode_mask
from anonymize.media.png_chunks import walk_png


@settings(max_examples=50, deadline=None)
@given(width=st.integers(1, 40), height=st.integers(1, 20), seed=st.integers(0, 999))
def test_a_mask_survives_and_says_nothing_else(width, height, seed):
    mask = np.random.default_rng(seed).random((height, width)) < 0.3
    content = encode_mask(mask)
    assert np.array_equal(decode_mask(content), mask)
    assert {c.kind for c in walk_png(content).chunks} == {"IHDR", "IDAT", "IEND"}
    picture = Image.open(io.BytesIO(content))
    assert (picture.mode, picture.size) == ("1", (width, height))
    assert np.array_equal(np.asarray(picture.convert("L")) == 255, mask)


@pytest.mark.parametrize(
    "wrong", [np.zeros((4, 4), np.uint8), np.zeros((0, 4), bool), np.zeros((4, 4, 3), bool)]
)
def test_anything_but_truth_values_is_refused(wrong):
    with pytest.raises(ValueError, match="truth values"):
        encode_mask(wrong)


def test_other_files_are_no_masks():
    out = io.BytesIO()
    Image.new("L", (8, 8)).save(out, format="PNG")
    for content in (out.getvalue(), b"", b"nothing"):
        with pytest.raises(ValueError, match="1-bit PNG"):
            decode_mask(content)
