"""The recipe of the shipped plate detector: render, train, export.

    python -m anonymize.media.training.plates --out DIR --cjk-font wqy-zenhei.ttc --latin-font
    LiberationSans-Bold.ttf

Nothing is downloaded: plates are drawn, backgrounds are drawn or cut from photographs that installed packages
ship, and the network starts from random weights. Evaluation data never enters.
"""

import argparse
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx

from anonymize.media.training.plate_styles import Canvas, Fonts
from anonymize.media.training.scenes import compose

_NETWORK = Path(__file__).with_name("plate_net.yaml")
_PHOTOGRAPHS = {
    "ultralytics": ("assets/bus.jpg", "assets/zidane.jpg"),
    "skimage": (
        "data/astronaut.png", "data/brick.png", "data/chelsea.png", "data/coffee.png", "data/grass.png",
        "data/gravel.png", "data/motorcycle_left.png", "data/motorcycle_right.png", "data/rocket.jpg",
        "data/text.png", "data/page.png", "data/camera.png", "data/coins.png",
    ),
    "matplotlib": ("mpl-data/sample_data/grace_hopper.jpg",),
}  # fmt: skip
_HALF_FROM_BYTES = 1024
_RECIPE: dict[str, Any] = {
    "exist_ok": True, "device": "cpu", "amp": False, "pretrained": True, "plots": False, "seed": 0,
    "deterministic": True, "optimizer": "AdamW", "lrf": 0.02, "cos_lr": True,
    "warmup_epochs": 0.5, "mosaic": 0.25, "close_mosaic": 1, "scale": 0.3, "translate": 0.1, "fliplr": 0.0,
    "hsv_s": 0.4, "hsv_v": 0.3, "erasing": 0.0, "save_period": -1,
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


def render(out: Path, fonts: Fonts, *, split: str, count: int, side: int, seed: int) -> None:
    """Write ``count`` images and YOLO labels; image ``i`` depends on ``seed`` and ``i`` only."""
    images, labels = out / "images" / split, out / "labels" / split
    images.mkdir(parents=True, exist_ok=True)
    labels.mkdir(parents=True, exist_ok=True)
    backgrounds = photographs()
    for i in range(count):
        label = labels / f"{i:06d}.txt"
        if label.exists():
            continue
        scene = compose(np.random.default_rng([seed, i]), fonts, backgrounds, side=side)
        cv2.imwrite(str(images / f"{i:06d}.jpg"), cv2.cvtColor(scene.image, cv2.COLOR_RGB2BGR),
                    [int(cv2.IMWRITE_JPEG_QUALITY), 95])  # fmt: skip
        rows = (
            " ".join(["0", *(f"{v / side:.6f}" for v in ((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0))])
            for x0, y0, x1, y1 in scene.boxes
        )
        label.write_text("\n".join(rows), encoding="ascii")
    description = {
        "path": str(out.resolve()),
        "train": "images/train",
        "val": "images/val",
        "names": {0: "plate"},
    }
    (out / "data.yaml").write_text(json.dumps(description), encoding="utf-8")


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
        workers: Processes that load images.
    """

    start: Path
    rate: float
    epochs: int
    hours: float | None
    side: int
    batch: int
    workers: int


def train(out: Path, schedule: Schedule, *, run: str) -> Path:
    """Train on the CPU; returns the best checkpoint of the run."""
    from anonymize.media.ultralytics_engine import import_ultralytics  # noqa: PLC0415 - imports torch

    yolo = import_ultralytics().YOLO(str(schedule.start), task="detect")
    yolo.train(
        data=str(out / "data.yaml"),
        project=str(out.resolve() / "runs"),
        name=run,
        lr0=schedule.rate,
        epochs=schedule.epochs,
        time=schedule.hours,
        imgsz=schedule.side,
        batch=schedule.batch,
        workers=schedule.workers,
        **_RECIPE,
    )
    return _best(out, run)


def _best(out: Path, run: str) -> Path:
    return out / "runs" / run / "weights" / "best.pt"


def export(weights: Path, target: Path, *, side: int) -> None:
    """Write ONNX with dynamic size, NMS inside, ultralytics' metadata and weights stored as 16-bit floats."""
    from anonymize.media.ultralytics_engine import import_ultralytics  # noqa: PLC0415 - imports torch

    yolo = import_ultralytics().YOLO(str(weights), task="detect")
    settings = {"nms": True, "dynamic": True, "conf": 0.05, "iou": 0.5, "max_det": 300, "simplify": False}
    written = yolo.export(format="onnx", imgsz=side, device="cpu", **settings)
    model = onnx.load(written)
    Path(written).unlink()
    _store_half(model)
    target.parent.mkdir(parents=True, exist_ok=True)
    for entry in model.metadata_props:
        if entry.key == "description":  # ultralytics writes the path of the data there
            entry.value = "Licence plates, trained on drawn scenes by anonymize.media.training.plates"
    onnx.save(model, str(target))


def _store_half(model: onnx.ModelProto) -> None:
    """Keep large weights as 16-bit floats, widened by a Cast that ONNX Runtime folds when it loads."""
    casts = []
    for weight in model.graph.initializer:
        if weight.data_type != onnx.TensorProto.FLOAT or len(weight.raw_data) < _HALF_FROM_BYTES:
            continue
        name = weight.name
        half = onnx.numpy_helper.to_array(weight).astype(np.float16)
        weight.CopyFrom(onnx.numpy_helper.from_array(half, f"{name}_half"))
        casts.append(onnx.helper.make_node("Cast", [f"{name}_half"], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="working folder; finished steps are reused")
    parser.add_argument("--latin-font", type=Path, action="append", required=True, help="A-Z 0-9; repeatable")
    parser.add_argument("--cjk-font", type=Path, action="append", required=True, help="repeatable")
    parser.add_argument("--train-images", type=int, default=6000)
    parser.add_argument("--val-images", type=int, default=300)
    parser.add_argument("--side", type=int, default=320, help="side in pixels of rendered images")
    parser.add_argument(
        "--train-side", type=int, default=256, help="side in pixels at which they are trained"
    )
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--hours", type=float, help="stop after this time and fit the schedule to it")
    parser.add_argument("--run", default="plates", help="name of the run below DIR/runs")
    parser.add_argument("--start", type=Path, default=_NETWORK, help="checkpoint to train onwards from")
    parser.add_argument("--lr", type=float, default=0.002, help="highest learning rate")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", nargs="+", choices=("render", "train", "export"),
                        default=["render", "train", "export"])  # fmt: skip
    return parser.parse_args()


def main() -> None:
    """Run the steps of the recipe."""
    arguments = _arguments()
    out: Path = arguments.out
    fonts = Fonts(latin=tuple(arguments.latin_font), cjk=tuple(arguments.cjk_font))
    if "render" in arguments.steps:
        for split, count, seed in (
            ("val", arguments.val_images, 0),
            ("train", arguments.train_images, arguments.seed),
        ):
            render(out, fonts, split=split, count=count, side=arguments.side, seed=seed)
    if "train" in arguments.steps:
        schedule = Schedule(
            start=arguments.start,
            rate=arguments.lr,
            epochs=arguments.epochs,
            hours=arguments.hours,
            side=arguments.train_side,
            batch=arguments.batch,
            workers=arguments.workers,
        )
        train(out, schedule, run=arguments.run)
    if "export" in arguments.steps:
        export(_best(out, arguments.run), out / "plate.onnx", side=640)


if __name__ == "__main__":
    main()
