"""The recipe of the shipped detector of plates and limit signs: render, train, export.

    python -m anonymize.media.training.street --out DIR --cjk-font wqy-zenhei.ttc --latin-font
    LiberationSans-Bold.ttf --held-out-cjk-font NotoSansCJK-Bold.ttc --held-out-latin-font
    DejaVuSans-Bold.ttf

The shipped model saw the Debian packages fonts-wqy-zenhei, fonts-wqy-microhei, fonts-liberation,
fonts-freefont-ttf and fonts-roboto-unhinted, and is validated on fonts-dejavu and fonts-noto-cjk; every font
option but the held-out ones may be repeated. Training goes on from a checkpoint, with more scenes if wanted:

    python -m anonymize.media.training.street --out DIR … --seed 2 --train-images 7000 --run second --lr 0.0018
    --start DIR/runs/street/weights/last.pt

Nothing is downloaded: plates, signs and vehicles are drawn, backgrounds are drawn or cut from photographs
that installed packages ship, and the network starts from random weights. Evaluation data never enters.
"""

import argparse
import importlib.util
import json
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from anonymize.media.training.export import export
from anonymize.media.training.plate_styles import Canvas, Fonts
from anonymize.media.training.scenes import CLASSES, Labelled, compose

_NETWORK = Path(__file__).with_name("street_net.yaml")
_PHOTOGRAPHS = {
    "ultralytics": ("assets/bus.jpg", "assets/zidane.jpg"),
    "skimage": (
        "data/astronaut.png", "data/brick.png", "data/chelsea.png", "data/coffee.png", "data/grass.png",
        "data/gravel.png", "data/motorcycle_left.png", "data/motorcycle_right.png", "data/rocket.jpg",
        "data/text.png", "data/page.png", "data/camera.png", "data/coins.png",
    ),
    "matplotlib": ("mpl-data/sample_data/grace_hopper.jpg",),
}  # fmt: skip
_RECIPE: dict[str, Any] = {
    "exist_ok": True, "device": "cpu", "amp": False, "pretrained": True, "plots": False, "seed": 0,
    "deterministic": True, "optimizer": "AdamW", "lrf": 0.02, "cos_lr": True,
    "warmup_epochs": 0.5, "mosaic": 0.15, "close_mosaic": 1, "workers": 0, "scale": 0.3,
    "translate": 0.1, "fliplr": 0.5, "hsv_s": 0.4, "hsv_v": 0.3, "erasing": 0.0, "save_period": -1,
}  # fmt: skip


def photographs() -> list[Canvas]:
    """Photographs that installed packages ship, RGB; packages that are absent are left out."""
    found = []
    for package, names in _PHOTOGRAPHS.items():
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            continue
        for name in names:
            image = cv2.imread(str(Path(spec.origin).parent / name), cv2.IMREAD_COLOR)
            if image is not None:
                found.append(np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """What to draw: where to, with which fonts, of which side in pixels, from which seed."""

    out: Path
    split: str
    fonts: Fonts
    side: int
    seed: int


def render(job: Rendering, count: int, *, processes: int) -> None:
    """Write ``count`` images and YOLO labels; image ``i`` depends on ``seed`` and ``i`` only."""
    for kind in ("images", "labels"):
        (job.out / kind / job.split).mkdir(parents=True, exist_ok=True)
    shares = [(job, range(k, count, processes)) for k in range(processes)]
    with ProcessPoolExecutor(processes) as pool:
        list(pool.map(_render_share, shares))
    description = {
        "path": str(job.out.resolve()),
        "train": "images/train",
        "val": "images/val",
        "names": dict(enumerate(CLASSES)),
    }
    (job.out / "data.yaml").write_text(json.dumps(description), encoding="utf-8")


def _render_share(share: tuple[Rendering, range]) -> None:
    job, numbers = share
    cv2.setNumThreads(1)
    backgrounds = photographs()
    for i in numbers:
        stem = f"{job.seed:03d}_{i:06d}"
        label = job.out / "labels" / job.split / f"{stem}.txt"
        if label.exists():
            continue
        scene = compose(np.random.default_rng([job.seed, i]), job.fonts, backgrounds, side=job.side)
        image = job.out / "images" / job.split / f"{stem}.jpg"
        cv2.imwrite(str(image), cv2.cvtColor(scene.image, cv2.COLOR_RGB2BGR),
                    [int(cv2.IMWRITE_JPEG_QUALITY), 95])  # fmt: skip
        label.write_text("\n".join(_row(o, job.side) for o in scene.objects), encoding="ascii")


def _row(labelled: Labelled, side: int) -> str:
    x0, y0, x1, y1 = labelled.box
    shares = (v / side for v in ((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0))
    return " ".join([str(CLASSES.index(labelled.name)), *(f"{v:.6f}" for v in shares)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How long and how fast to train.

    Attributes:
        start: The network's description for random weights, or a checkpoint to train onwards from.
        rate: Highest learning rate.
        epochs: Passes over the images.
        hours: Time after which training ends, whatever ``epochs`` says.
        side: Side in pixels at which images are trained.
        batch: Images per step.
        half: Whether the network runs in bfloat16.
    """

    start: Path
    rate: float
    epochs: int
    hours: float | None
    side: int
    batch: int
    half: bool


def train(out: Path, schedule: Schedule, *, run: str) -> Path:
    """Train on the CPU; returns the best checkpoint of the run."""
    from anonymize.media.ultralytics_engine import import_ultralytics  # noqa: PLC0415 - imports torch

    yolo = import_ultralytics().YOLO(str(schedule.start), task="detect")
    if schedule.half:
        yolo.add_callback("on_train_start", _run_in_bfloat16)
    yolo.train(
        data=str(out / "data.yaml"),
        project=str(out.resolve() / "runs"),
        name=run,
        lr0=schedule.rate,
        epochs=schedule.epochs,
        time=schedule.hours,
        imgsz=schedule.side,
        batch=schedule.batch,
        **_RECIPE,
    )
    return _best(out, run)


def _run_in_bfloat16(trainer: Any) -> None:
    """Run the network, but not its loss, in bfloat16: twice as fast on processors that multiply it."""
    import torch  # noqa: PLC0415 - heavy

    model = trainer.model.to(memory_format=torch.channels_last)
    whole = model.predict

    def predict(images: Any, *args: Any, **kwargs: Any) -> Any:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=model.training):
            return _widened(whole(images.contiguous(memory_format=torch.channels_last), *args, **kwargs))

    model.predict = predict
    torch.set_num_threads(os.cpu_count() or 1)


def _widened(value: Any) -> Any:
    """The outputs of a network with every tensor as 32-bit floats."""
    if isinstance(value, dict):
        return {k: _widened(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_widened(v) for v in value)
    return value.float()


def _best(out: Path, run: str) -> Path:
    return out / "runs" / run / "weights" / "best.pt"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="working folder; finished steps are reused")
    parser.add_argument("--latin-font", type=Path, action="append", required=True, help="A-Z 0-9; repeatable")
    parser.add_argument("--cjk-font", type=Path, action="append", required=True, help="repeatable")
    parser.add_argument("--held-out-latin-font", type=Path, required=True, help="for validation images only")
    parser.add_argument("--held-out-cjk-font", type=Path, required=True, help="for validation images only")
    parser.add_argument("--train-images", type=int, default=14000)
    parser.add_argument("--val-images", type=int, default=400)
    parser.add_argument("--side", type=int, default=384, help="side in pixels of rendered images")
    parser.add_argument(
        "--train-side", type=int, default=320, help="side in pixels at which they are trained"
    )
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--hours", type=float, help="stop after this time and fit the schedule to it")
    parser.add_argument("--run", default="street", help="name of the run below DIR/runs")
    parser.add_argument("--start", type=Path, default=_NETWORK, help="checkpoint to train onwards from")
    parser.add_argument("--lr", type=float, default=0.002, help="highest learning rate")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--full-precision", action="store_true", help="no bfloat16")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2, help="processes that render")
    parser.add_argument("--steps", nargs="+", choices=("render", "train", "export"),
                        default=["render", "train", "export"])  # fmt: skip
    return parser.parse_args()


def _render_all(arguments: argparse.Namespace) -> None:
    fonts = Fonts(latin=tuple(arguments.latin_font), cjk=tuple(arguments.cjk_font))
    held_out = Fonts(latin=(arguments.held_out_latin_font,), cjk=(arguments.held_out_cjk_font,))
    for split, count, seed, faces in (
        ("val", arguments.val_images, 0, held_out),
        ("train", arguments.train_images, arguments.seed, fonts),
    ):
        job = Rendering(out=arguments.out, split=split, fonts=faces, side=arguments.side, seed=seed)
        render(job, count, processes=arguments.processes)


def main() -> None:
    """Run the steps of the recipe."""
    arguments = _arguments()
    out: Path = arguments.out
    if "render" in arguments.steps:
        _render_all(arguments)
    if "train" in arguments.steps:
        schedule = Schedule(
            start=arguments.start,
            rate=arguments.lr,
            epochs=arguments.epochs,
            hours=arguments.hours,
            side=arguments.train_side,
            batch=arguments.batch,
            half=not arguments.full_precision,
        )
        train(out, schedule, run=arguments.run)
    if "export" in arguments.steps:
        export(_best(out, arguments.run), out / "street.onnx", side=640)


if __name__ == "__main__":
    main()
