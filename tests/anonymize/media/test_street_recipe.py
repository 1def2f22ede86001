import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from anonymize.media.street import street_card

ROOT = Path(__file__).parents[3]
_PRELUDE = """
import json
from pathlib import Path
import matplotlib
import numpy as np
from anonymize.media.training.camera import View
from anonymize.media.training.plate_styles import Fonts, STYLES, render_plate
from anonymize.media.training.poses import paste, random_quad, round_hull
from anonymize.media.training.scenes import CLASSES, compose
from anonymize.media.training.sign_styles import (
    LIMIT_SIGNS, OTHER_SIGNS, render_limit_sign, render_other_sign
)

folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
fonts = Fonts(latin=(folder / "DejaVuSans-Bold.ttf",), cjk=(folder / "LastResortHE-Regular.ttf",))

def extent(view):
    rows, columns = np.nonzero(view.reflect > 0.5)
    return [int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1]
"""
_DRAWN = """
def names(render, count):
    return {render(np.random.default_rng(i), fonts)[0] for i in range(count)}

drawn = {
    "plates": sorted({s.name for s in STYLES} - names(render_plate, 300)),
    "limits": sorted(set(LIMIT_SIGNS) - names(render_limit_sign, 60)),
    "others": sorted(set(OTHER_SIGNS) - names(render_other_sign, 150)),
}
print(json.dumps(drawn))
"""
_SCENES = """
scenes = [compose(np.random.default_rng([5, i]), fonts, [], side=160) for i in range(40)]
again = compose(np.random.default_rng([5, 3]), fonts, [], side=160)
limits = [sum(o.name == "limit_sign" for o in s.objects) for s in scenes]
print(json.dumps({
    "objects": [[o.name, *o.box] for s in scenes for o in s.objects],
    "classes": CLASSES,
    "same": bool((again.image == scenes[3].image).all()) and again.objects == scenes[3].objects,
    "shapes": sorted({s.image.shape for s in scenes}),
    "depth": sorted({str(s.image.dtype) for s in scenes}),
    "unlabelled": any(set(s.signs) & set(OTHER_SIGNS) and not s.objects for s in scenes),
    "excess": any(n > sum(k in LIMIT_SIGNS for k in s.signs) for n, s in zip(limits, scenes, strict=True)),
}))
"""
_POSES = """
pairs = []
for i in range(30):
    rng = np.random.default_rng(i)
    for name in ("plate", "sign"):
        view = View(image=np.zeros((200, 200, 3), np.uint8), reflect=np.zeros((200, 200), np.float32))
        quad = random_quad(rng, 1.0 if name == "sign" else 4.0, 90, (100, 100))
        if name == "sign":
            face, outline = LIMIT_SIGNS["height"](rng, fonts)
            paste(view, face, quad, outline=outline, reflect=1.0)
            label = round_hull(quad)
        else:
            paste(view, np.full((40, 160, 3), 200, np.uint8), quad, reflect=1.0)
            label = [*map(float, quad.min(axis=0)), *map(float, quad.max(axis=0))]
        pairs.append([name, list(label), extent(view)])
print(json.dumps(pairs))
"""


def _run(code: str):
    """Run in a process of its own: OpenCV stays out of this one."""
    done = subprocess.run(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", _PRELUDE + code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def scenes():
    return _run(_SCENES)


def test_every_style_of_plate_and_every_kind_of_sign_is_drawn():
    assert _run(_DRAWN) == {"plates": [], "limits": [], "others": []}


def test_a_scene_repeats_from_its_seed(scenes):
    assert scenes["same"]
    assert scenes["shapes"] == [[160, 160, 3]]
    assert scenes["depth"] == ["uint8"]


def test_scenes_hold_both_classes_labelled_inside_their_borders(scenes):
    assert scenes["classes"] == ["plate", "limit_sign"]
    assert {name for name, *_ in scenes["objects"]} == {"plate", "limit_sign"}
    boxes = [box for _, *box in scenes["objects"]]
    assert all(0 <= x0 < x1 <= 160 and 0 <= y0 < y1 <= 160 for x0, y0, x1, y1 in boxes)
    assert all(x1 - x0 >= 10 for x0, _, x1, _ in boxes)


def test_other_signs_are_drawn_but_never_labelled(scenes):
    assert scenes["unlabelled"]
    assert not scenes["excess"]


def test_labels_are_tight_to_what_is_seen():
    for name, label, seen in _run(_POSES):
        assert label == pytest.approx(seen, abs=1.6), name


def test_the_shipped_model_tells_its_task_classes_and_recipe_but_no_path_of_the_machine_that_made_it():
    content = (ROOT / "anonymize" / "media" / "models" / street_card().file).read_bytes()
    told = {p.key: p.value for p in onnx.load_from_string(content).metadata_props}
    assert told["task"] == "detect"
    assert list(ast.literal_eval(told["names"]).values()) == list(street_card().classes)
    assert "anonymize.media.training.street" in told["description"]
    assert (
        re.findall(rb"/(?:home|root|tmp|usr|opt|var|mnt|srv)/[ -~]*|site-packages|[A-Z]:\\\\", content) == []
    )
