import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
_RENDER = """
import json, sys
from pathlib import Path
import matplotlib
import numpy as np
from anonymize.media.training.plate_styles import Fonts, STYLES, render_plate
from anonymize.media.training.scenes import compose

folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
fonts = Fonts(latin=(folder / "DejaVuSans-Bold.ttf",), cjk=(folder / "LastResortHE-Regular.ttf",))
names = {render_plate(np.random.default_rng(i), fonts)[0] for i in range(300)}
scenes = [compose(np.random.default_rng([5, i]), fonts, [], side=160) for i in range(12)]
again = compose(np.random.default_rng([5, 3]), fonts, [], side=160)
print(json.dumps({
    "missing": sorted({s.name for s in STYLES} - names),
    "boxes": [s.boxes for s in scenes],
    "same": bool((again.image == scenes[3].image).all()) and again.boxes == scenes[3].boxes,
    "shapes": sorted({s.image.shape for s in scenes}),
}))
"""


@pytest.fixture(scope="module")
def rendered():
    done = subprocess.run(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", _RENDER], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_every_style_is_drawn(rendered):
    assert rendered["missing"] == []


def test_scenes_are_labelled_inside_their_borders_and_repeat_from_their_seed(rendered):
    assert rendered["same"]
    assert rendered["shapes"] == [[160, 160, 3]]
    boxes = [box for scene in rendered["boxes"] for box in scene]
    assert boxes
    assert all(0 <= x0 < x1 <= 160 and 0 <= y0 < y1 <= 160 for x0, y0, x1, y1 in boxes)
    assert all(x1 - x0 >= 6 for x0, _, x1, _ in boxes)
