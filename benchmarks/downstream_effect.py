"""What masking costs those who train on the result: the same downstream tasks before and after, in one run.

    python benchmarks/downstream_effect.py [--data ../shared/data/media] [--frames 60] [--json]
        [--weights yolo.pt --sha256 DIGEST]

Every video is cleansed as the gate cleanses it, and its frames before and after go through: point tracking
with a fundamental matrix (what visual odometry rests on), a visual object tracker seeded on the same boxes
(VitTrack, if its weights are among the samples), and a comparison of the pixels that no mask touched. With
``--weights`` a COCO-style detector of the user's own looks at both sides too: what it finds before masking is the
reference for what it finds after; without weights that part is skipped with the reason, since none can be
shipped.
"""

import argparse
import hashlib
import io
import json
import logging
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from video_cleansing import cleansed, prepare

from anonymize.media.masks import mask
from anonymize.media.ultralytics_engine import import_ultralytics
from anonymize.profile import shipped_profile

Frame = NDArray[np.uint8]
Box = tuple[float, float, float, float]
_VIDEOS = (
    "video/MOT20-08-raw_shorter.h264",
    "video/sample-5s_h265.mp4",
    "video_gnss/hero5-trimmed.mp4",
)
_VITTRACK = "../weights/track/object_tracking_vittrack_2023sep.onnx"
_SEEDS = 8
_SEED_SHARE = 8


def frames_of(source: io.BufferedIOBase, count: int) -> Iterator[Frame]:
    """The first ``count`` frames, RGB."""
    with av.open(source) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index == count:
                return
            yield frame.to_ndarray(format="rgb24")


def point_tracks(frames: list[Frame]) -> dict[str, float]:
    """Corners followed by pyramidal Lucas-Kanade into the next frame, and how many fit one epipolar geometry."""
    followed, inliers = 0, 0
    for before, after in pairwise(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in frames):
        corners = cv2.goodFeaturesToTrack(before, 500, 0.01, 8)
        if corners is None:
            continue
        moved, status, _ = cv2.calcOpticalFlowPyrLK(before, after, corners, None)
        good = status.ravel() == 1
        followed += int(good.sum())
        if good.sum() >= 8:
            _, fits = cv2.findFundamentalMat(corners[good], moved[good], cv2.FM_RANSAC, 1.0, 0.99)
            inliers += 0 if fits is None else int(fits.sum())
    pairs = max(1, len(frames) - 1)
    return {"followed_per_frame": followed / pairs, "inliers_per_frame": inliers / pairs}


def seeds(frame: Frame) -> list[tuple[int, int, int, int]]:
    """Boxes around the strongest corners, far from one another."""
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    side = min(frame.shape[:2]) // _SEED_SHARE
    corners = cv2.goodFeaturesToTrack(grey[side:-side, side:-side], _SEEDS, 0.01, side)
    return [(int(x + side / 2), int(y + side / 2), side, side) for x, y in corners.reshape(-1, 2)]


def follow(frames: list[Frame], weights: Path, box: tuple[int, int, int, int]) -> list[Box]:
    """The tracker's box in every frame after the first, as corners."""
    parameters = cv2.TrackerVit_Params()
    parameters.net = str(weights)
    tracker = cv2.TrackerVit_create(parameters)
    tracker.init(cv2.cvtColor(frames[0], cv2.COLOR_RGB2BGR), box)
    found = []
    for frame in frames[1:]:
        _, (x, y, w, h) = tracker.update(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        found.append((x, y, x + w, y + h))
    return found


def overlap(a: Box, b: Box) -> float:
    """Intersection over union."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0.0, width) * max(0.0, height)
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return shared / (areas - shared) if areas > shared else 0.0


def trajectories(before: list[Frame], after: list[Frame], weights: Path) -> dict[str, float]:
    """How far the tracker's boxes on masked frames agree with those on the originals."""
    agreement = [
        overlap(a, b)
        for box in seeds(before[0])
        for a, b in zip(follow(before, weights, box), follow(after, weights, box), strict=True)
    ]
    return {
        "mean_overlap": float(np.mean(agreement)),
        "share_overlap_half": float(np.mean([v >= 0.5 for v in agreement])),
    }


def fidelity(before: list[Frame], after: list[Frame], masked: list[NDArray[np.bool_]]) -> dict[str, float]:
    """Peak signal-to-noise ratio in dB where no mask lies, and the masked share."""
    errors = [
        np.mean((b[~m].astype(np.float32) - a[~m].astype(np.float32)) ** 2)
        for b, a, m in zip(before, after, masked, strict=True)
    ]
    psnr = 10 * np.log10(255**2 / max(float(np.mean(errors)), 1e-9))
    return {"psnr_outside_masks_db": float(psnr), "masked_share": float(np.mean([m.mean() for m in masked]))}


def detections(model: Any, frames: list[Frame]) -> list[list[tuple[int, Box]]]:
    """Class and box of everything that a detector of the user's own finds."""
    found = []
    for frame in frames:
        (result,) = model.predict(
            np.ascontiguousarray(frame[..., ::-1]), verbose=False, save=False, device="cpu"
        )
        boxes = result.boxes.cpu().numpy()
        found.append(
            [(int(c), tuple(map(float, xyxy))) for c, xyxy in zip(boxes.cls, boxes.xyxy, strict=True)]
        )
    return found


def kept(before: list[list[tuple[int, Box]]], after: list[list[tuple[int, Box]]]) -> dict[str, float]:
    """Share of the detections before masking that are found after it, same class at IoU .5, and the other way."""

    def share(of: list[list[tuple[int, Box]]], among: list[list[tuple[int, Box]]]) -> float:
        hits = [
            any(c == k and overlap(b, o) >= 0.5 for k, o in theirs)
            for mine, theirs in zip(of, among, strict=True)
            for c, b in mine
        ]
        return float(np.mean(hits)) if hits else float("nan")

    return {
        "detections_before": float(sum(map(len, before))),
        "detections_after": float(sum(map(len, after))),
        "kept": share(before, after),
        "new": 1.0 - share(after, before),
    }


def measure(path: Path, count: int, vittrack: Path, model: Any | None) -> dict[str, Any]:
    """All tasks on one video."""
    profile = shipped_profile("cn-2026").profile.images
    with tempfile.TemporaryDirectory(prefix="fleetgate-video-") as folder:
        clip = Path(folder) / "clip.mp4"
        prepare(path, clip, count=count, as_is=True)
        treated, content, _ = cleansed(clip)
        original = clip.read_bytes()
    with io.BytesIO(original) as source:
        before = list(frames_of(source, count))
    after = list(frames_of(io.BytesIO(content), count))
    masks = [mask(f, treated.plan.findings(i), profile=profile).mask for i, f in enumerate(before)]
    points = {side: point_tracks(frames) for side, frames in (("before", before), ("after", after))}
    answer: dict[str, Any] = {
        "frames": len(before),
        **fidelity(before, after, masks),
        "point_inliers_kept": points["after"]["inliers_per_frame"] / points["before"]["inliers_per_frame"],
        "points": points,
    }
    if vittrack.is_file():
        answer["tracker"] = trajectories(before, after, vittrack)
    if model is not None:
        answer["detector"] = kept(detections(model, before), detections(model, after))
    return answer


def main() -> None:
    """Parse the command line and print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data/media"))
    parser.add_argument("--frames", type=int, default=60, help="frames of each video that are compared")
    parser.add_argument("--video", type=Path, action="append", help="a video of your own; repeatable")
    parser.add_argument("--weights", type=Path, help="COCO-style detection weights of your own")
    parser.add_argument("--sha256", help="their digest")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    logging.getLogger("libav").setLevel(logging.CRITICAL)
    videos = arguments.video or [p for p in (arguments.data / name for name in _VIDEOS) if p.is_file()]
    if not videos:
        raise SystemExit(f"no videos there (got {str(arguments.data)!r})")
    model = None
    if arguments.weights is not None:
        digest = hashlib.sha256(arguments.weights.read_bytes()).hexdigest()
        if digest != arguments.sha256:
            raise SystemExit(f"weights have another digest (got {digest}, expected {arguments.sha256})")
        model = import_ultralytics().YOLO(str(arguments.weights))
    report = {p.name: measure(p, arguments.frames, arguments.data / _VITTRACK, model) for p in videos}
    if model is None and not arguments.json:
        print("vehicles and persons before and after: skipped (no --weights were given)")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
