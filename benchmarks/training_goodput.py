"""Pictures a second, waiting for data, scaling over ranks and goodput of a detector trained on sealed shards.

    python benchmarks/training_goodput.py [--pictures 96] [--epochs 8] [--side 320] [--model yolo11n.yaml] [--json]

The gate is ``fleetgate serve`` in a process of its own over a house that the tests' simulators furnish; it
releases made pictures. ``fleetgate train detector`` runs under torchrun on the CPU, one thread a rank: with one
rank, with two, and with one that is killed by SIGKILL in the middle and started again. Figures are of its report:
goodput is the time of steps that a checkpoint keeps by the wall clock from the first start to the end, starts,
validation, checkpoints and lost work counted against it. Industry tells of .91 and .98 in runs of weeks.
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from loader import served
from release_download import free_port

from pipeline.training.access import Access
from pipeline.training.labels import read_coco
from pipeline.training.shards import ShardFolder, write_shards
from pipeline.training.training_manifest import freeze
from rank_processes import kill_ranks
from simulators import PURPOSE

WIDTH, HEIGHT = 480, 288
SHARD_BYTES = 4 * 1024 * 1024


def picture(number: int) -> bytes:
    rng = np.random.default_rng(number)
    pixels = np.repeat(np.repeat(rng.integers(40, 90, (HEIGHT // 8, WIDTH // 8, 3)), 8, 0), 8, 1).astype(
        np.uint8
    )
    x, y, side = box(number)
    pixels[y : y + side, x : x + side] = (200, 60, 60) if number % 2 else (60, 200, 60)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=92)
    return out.getvalue()


def box(number: int) -> tuple[int, int, int]:
    return 10 + number * 37 % (WIDTH - 150), 10 + number * 23 % (HEIGHT - 130), 60 + number * 7 % 60


def labels(names: list[str]) -> bytes:
    return json.dumps(
        {
            "categories": [{"id": 0, "name": "car"}, {"id": 1, "name": "truck"}],
            "images": [
                {"id": n, "file_name": name, "width": WIDTH, "height": HEIGHT} for n, name in enumerate(names)
            ],
            "annotations": [
                {"id": n, "image_id": n, "category_id": n % 2, "bbox": [*box(n)[:2], box(n)[2], box(n)[2]]}
                for n in range(len(names))
            ],
        }
    ).encode()


@contextmanager
def gate(folder: Path, pictures: int) -> Iterator[tuple[Access, str]]:
    """A gate with a release of pictures; yields how to ask it, and the release."""
    contents = {f"image/{n:06}.jpg": picture(n) for n in range(pictures)}
    with served(folder, contents) as asked:
        yield asked


def command(folder: Path, access: Access, out: Path, ranks: int, options: argparse.Namespace) -> list[str]:
    return [
        *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(ranks)),
        *("--master-addr", "127.0.0.1", "--master-port", str(free_port())),
        *(
            "--module",
            "gateway.cli",
            "train",
            "detector",
            str(folder / "m.jws"),
            "--shards",
            str(folder / "shards"),
        ),
        *("--out", str(out), "--model", options.model, "--epochs", str(options.epochs), "--workers", "1"),
        *("--batch", str(options.batch), "--side", str(options.side), "--url", access.url),
        *("--key", str(folder / "key.pem"), "--principal", "engineer", "--purpose", PURPOSE),
        *("--release-key", str(folder / "release.jwk"), "--json"),
    ]


def trained(arguments: list[str], out: Path, *, kill_after: int | None = None) -> dict[str, float]:
    """Train to the end, after a kill once so many epochs are kept where that is asked; returns where time went."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    report = out / "report.json"
    with (out.parent / f"{out.name}.log").open("wb") as log:

        def start() -> subprocess.Popen[bytes]:
            return subprocess.Popen(  # noqa: S603 (this interpreter on our own command)
                arguments, env=environment, stdout=subprocess.DEVNULL, stderr=log
            )

        process = start()
        if kill_after is not None:
            while not (report.exists() and json.loads(report.read_text()).get("epochs", 0) >= kill_after):
                if process.poll() is not None:
                    raise SystemExit((out.parent / f"{out.name}.log").read_text())
                time.sleep(0.05)
            time.sleep(0.5)  # into the next epoch
            kill_ranks(process.pid)
            process.wait()
            process = start()
        if process.wait() != 0:
            raise SystemExit((out.parent / f"{out.name}.log").read_text())
    found: dict[str, float] = json.loads(report.read_text())["time"]
    return found


def run(options: argparse.Namespace) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with gate(folder, options.pictures) as (access, release), access.client() as client:
            read = client.manifest(release)
            coco = read_coco(
                labels(sorted(item.name for item in read.items if item.media_type == "image/jpeg"))
            )
            manifest = freeze(
                "benchmark", client, [release], key=access.key, now=datetime.now(tz=UTC), labels=coco
            )
            write_shards(
                client,
                ShardFolder(folder / "shards", manifest, access.key),
                labels=coco,
                shard_bytes=SHARD_BYTES,
            )
            (folder / "m.jws").write_text(manifest.statement)
            (folder / "key.pem").write_bytes(access.key.as_pem(private=True))
            (folder / "release.jwk").write_text(json.dumps(dict(access.release_jwk)))
            runs = {}
            for label, ranks, kill in (
                ("one", 1, None),
                ("two", 2, None),
                ("killed", 1, options.epochs // 2),
            ):
                out = folder / label
                runs[label] = trained(command(folder, access, out, ranks, options), out, kill_after=kill)
    one, two, killed = runs["one"], runs["two"], runs["killed"]
    return {
        "pictures": options.pictures,
        "one_rank_pictures_per_s": one["samples_per_s"],
        "one_rank_wait_share": one["loader_wait_share"],
        "one_rank_goodput": one["goodput"],
        "two_ranks_pictures_per_s": two["samples_per_s"],
        "two_ranks_wait_share": two["loader_wait_share"],
        "two_ranks_goodput": two["goodput"],
        "scaling": two["samples_per_s"] / (2 * one["samples_per_s"]),
        "killed_goodput": killed["goodput"],
        "killed_lost_s": killed["lost_s"],
        "killed_down_s": killed["down_s"],
        "one_rank_start_and_other_s": one["other_s"],
        "one_rank_validate_s": one["validate_s"],
        "one_rank_save_s": one["save_s"],
        "one_rank_wall_s": one["wall_s"],
        "load_average": os.getloadavg()[0],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=96)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--side", type=int, default=320)
    parser.add_argument("--model", default="yolo11n.yaml")
    parser.add_argument("--json", action="store_true")
    figures = run(options := parser.parse_args())
    if options.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:28} {value:12,.3f}")


if __name__ == "__main__":
    main()
