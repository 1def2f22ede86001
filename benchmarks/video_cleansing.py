"""Videos against deface: frames per second, memory and size of the output, on the same files in one run.

    python benchmarks/video_cleansing.py [--data ../shared/data/media] [--frames 60] [--video FILE …] [--json]

Every video is first cut to ``--frames`` frames and, but for ``--as-is``, cropped and scaled to 1920 × 1080, H.264.
Then each side runs on that file in a process of its own, one by one: ``deface FILE`` at its defaults (one look for
faces, frame by frame), and Fleetgate as the gate runs it: faces and plates in every frame, tracks in both
directions, encoding, and the residual look at every encoded frame. The look alone (detect, plan, encode) is timed
apart. deface's masks are compared by how many of the boxes that deface blurred lie under Fleetgate's masks.
"""

import argparse
import json
import logging
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.filter import Graph

from anonymize.media.detection import embedded_detectors
from anonymize.media.video.cleansing import Progress, TreatedVideo, cleanse_video
from anonymize.profile import shipped_profile

_VIDEOS = ("video/sample-5s_h265.mp4", "video/MOT20-08-raw_shorter.h264")
_FRAME = (1920, 1080)
_COVERED = 0.75


class InMemory:
    """Progress that is kept in memory; the gate keeps it sealed."""

    def __init__(self) -> None:
        self._saved: dict[str, bytes] = {}

    def load(self, name: str) -> bytes | None:
        return self._saved.get(name)

    def save(self, name: str, content: bytes) -> None:
        self._saved[name] = content

    def clear(self) -> None:
        self._saved.clear()


def cleansed(path: Path) -> tuple[TreatedVideo, bytes, dict[str, float]]:
    """Cleanse a file; the outcome, its bytes, and seconds until each stage ended."""
    checkpoint, ended = InMemory(), dict[str, float]()
    begin = time.perf_counter()

    def note(progress: Progress) -> None:
        ended[f"{progress.stage}_{progress.passes}"] = round(time.perf_counter() - begin, 2)

    profile = shipped_profile("cn-2026").profile
    with path.open("rb") as source:
        treated = cleanse_video(
            source, detectors=embedded_detectors(), profile=profile, checkpoint=checkpoint, progress=note
        )
    content = b"".join(treated.contents(checkpoint))
    return treated, content, {**ended, "all": round(time.perf_counter() - begin, 2)}


def _full_hd(frames: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
    """Crop the middle of 16 : 9 and scale it."""
    graph: Graph | None = None
    for frame in frames:
        if graph is None:
            wide = min(frame.width, frame.height * 16 // 9)
            graph = Graph()
            source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format.name,
                                      time_base=frame.time_base)  # fmt: skip
            crop = graph.add("crop", f"{wide // 2 * 2}:{wide * 9 // 16 // 2 * 2}")
            scale = graph.add("scale", f"{_FRAME[0]}:{_FRAME[1]}:flags=bicubic")
            sink = graph.add("buffersink")
            source.link_to(crop)
            crop.link_to(scale)
            scale.link_to(sink)
            graph.configure()
        graph.push(frame)
        yield graph.pull()


def prepare(path: Path, target: Path, *, count: int, as_is: bool) -> None:
    """Write the first ``count`` frames at 25 frames per second, nearly without loss."""
    with av.open(str(path)) as source, av.open(str(target), "w") as sink:
        frames = (f for _, f in zip(range(count), source.decode(video=0), strict=False))
        stream = None
        for index, frame in enumerate(frames if as_is else _full_hd(frames)):
            if stream is None:
                stream = sink.add_stream("libx264", rate=25, options={"crf": "12", "preset": "veryfast"})
                stream.width, stream.height = frame.width // 2 * 2, frame.height // 2 * 2
                stream.pix_fmt = "yuv420p"
            written = frame.reformat(width=stream.width, height=stream.height, format="yuv420p")
            written.pts, written.time_base = index, Fraction(1, 25)
            sink.mux(stream.encode(written))
        if stream is None:
            raise SystemExit(f"no frames in {path.name}")
        sink.mux(stream.encode())


def run_fleetgate(path: Path) -> dict[str, Any]:
    treated, content, seconds = cleansed(path)
    boxes = {f: [[b.box.x0, b.box.y0, b.box.x1, b.box.y1] for b in bs if b.kind.value == "face"]
             for f, bs in treated.plan.boxes.items()}  # fmt: skip
    return {"seconds": seconds, "bytes": len(content), "facts": dict(treated.facts), "boxes": boxes,
            "frames": treated.plan.frames}  # fmt: skip


def run_deface(path: Path) -> dict[str, Any]:
    """``deface`` as its users call it, and once more what it found, which its command does not tell."""
    out = path.with_name("defaced.mp4")
    begin = time.perf_counter()
    subprocess.run(  # noqa: S603 - deface's own command
        [str(Path(sys.executable).with_name("deface")), str(path), "-o", str(out)],
        check=True, capture_output=True,
    )  # fmt: skip
    return {"seconds": {"all": round(time.perf_counter() - begin, 2)}, "bytes": out.stat().st_size}


def deface_boxes(path: Path) -> dict[str, Any]:
    """What deface's detector finds in every frame at its threshold, its blurred ellipse's box."""
    from deface.centerface import CenterFace  # noqa: PLC0415 - brings OpenCV, which stays in its process
    from deface.deface import scale_bb  # noqa: PLC0415 - the same

    model, boxes = CenterFace(), {}
    with av.open(str(path)) as source:
        for index, frame in enumerate(source.decode(video=0)):
            found, _ = model(frame.to_ndarray(format="rgb24"), threshold=0.2)
            boxes[index] = [[float(v) for v in scale_bb(*d[:4].astype(int), 1.0)] for d in found]
    return {"boxes": boxes}


_SIDES = {"fleetgate": run_fleetgate, "deface": run_deface, "deface-boxes": deface_boxes}


def _in_own_process(side: str, path: Path) -> dict[str, Any]:
    done = subprocess.run(  # noqa: S603 - our own interpreter and file
        [sys.executable, __file__, "--side", side, "--video", str(path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise SystemExit(f"{side} failed:\n{done.stderr[-4000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def covered(theirs: dict[str, list[list[float]]], ours: dict[str, list[list[float]]]) -> dict[str, Any]:
    """Share of deface's face boxes of which our face masks cover at least 75 %, frame by frame."""
    hits = []
    for frame, boxes in theirs.items():
        for box in boxes:
            x0, y0, x1, y1 = (round(v) for v in box)
            grid = np.zeros((max(1, y1 - y0), max(1, x1 - x0)), dtype=bool)
            for a, b, c, d in ours.get(frame, []):
                grid[max(0, b - y0) : max(0, d - y0), max(0, a - x0) : max(0, c - x0)] = True
            hits.append(grid.mean() >= _COVERED)
    return {"deface_boxes": len(hits), "covered": round(float(np.mean(hits)), 4) if hits else None}


def compare(path: Path, *, count: int, as_is: bool) -> dict[str, Any]:
    """Both sides on one video."""
    with tempfile.TemporaryDirectory(prefix="fleetgate-video-") as folder:
        clip = Path(folder) / "clip.mp4"
        prepare(path, clip, count=count, as_is=as_is)
        ours, theirs = _in_own_process("fleetgate", clip), _in_own_process("deface", clip)
        found = _in_own_process("deface-boxes", clip)
        frames = ours["frames"]
        masked_s = max((v for k, v in ours["seconds"].items() if k.startswith("detect")), default=0.0)
        return {
            "frames": frames,
            "fleetgate_frames_per_s": round(frames / ours["seconds"]["all"], 2),
            "fleetgate_detection_frames_per_s": round(frames / masked_s, 2) if masked_s else None,
            "deface_frames_per_s": round(frames / theirs["seconds"]["all"], 2),
            "speed_ratio": round(theirs["seconds"]["all"] / ours["seconds"]["all"], 2),
            "fleetgate_peak_mib": ours["peak_mib"],
            "deface_peak_mib": theirs["peak_mib"],
            "fleetgate_bytes": ours["bytes"],
            "deface_bytes": theirs["bytes"],
            "clip_bytes": clip.stat().st_size,
            "seconds": ours["seconds"],
            "facts": ours["facts"],
            **covered(found["boxes"], ours["boxes"]),
        }


def main() -> None:
    """Parse the command line and print ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data/media"))
    parser.add_argument("--video", type=Path, action="append", help="a video of your own; repeatable")
    parser.add_argument("--frames", type=int, default=60, help="frames of each video")
    parser.add_argument("--as-is", action="store_true", help="keep the size of the frames")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--side", choices=sorted(_SIDES), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    logging.getLogger("libav").setLevel(logging.CRITICAL)
    if arguments.side:
        answer = _SIDES[arguments.side](arguments.video[0])
        who = resource.RUSAGE_CHILDREN if arguments.side == "deface" else resource.RUSAGE_SELF
        print(json.dumps({**answer, "peak_mib": resource.getrusage(who).ru_maxrss // 1024}))
        return
    videos = arguments.video or [p for p in (arguments.data / name for name in _VIDEOS) if p.is_file()]
    if not videos:
        raise SystemExit(f"no videos there (got {str(arguments.data)!r})")
    report = {p.name: compare(p, count=arguments.frames, as_is=arguments.as_is) for p in videos}
    if not arguments.json:
        for name, e in report.items():
            print(
                f"{name}: {e['fleetgate_frames_per_s']} frames/s against {e['deface_frames_per_s']} of deface"
            )
            print(f"  ratio {e['speed_ratio']}; peak {e['fleetgate_peak_mib']} / {e['deface_peak_mib']} MiB")
            print(f"  masks cover {e['covered']} of deface's {e['deface_boxes']} boxes")
    else:
        print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
