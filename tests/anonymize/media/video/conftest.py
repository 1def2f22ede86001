import hashlib
import io
import os
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from scipy import ndimage

from anonymize.finding import Finding, FindingKind, PixelBox
from anonymize.media.detection import Look
from anonymize.profile import Profile, shipped_profile

MARK = {FindingKind.FACE: (255, 0, 255), FindingKind.PLATE: (0, 255, 0)}
# Of the marks, in luma: large enough that an unmasked one cannot be mistaken for coding noise.
_TOLERANCE = 90


class MarkDetector:
    """Finds rectangles of pure magenta (faces) and pure green (plates): a detector whose answers are known.

    ``blind`` frames, counted by the shade of the top left pixel's block, are those in which the masking look
    sees nothing.
    """

    name = "marks"
    digest = hashlib.sha256(b"marks").hexdigest()
    kinds = frozenset(MARK)
    runtime = "numpy"

    def __init__(self, blind: Sequence[int] = (), *, residual_sees: bool = True) -> None:
        self.blind, self.residual_sees, self.looks = frozenset(blind), residual_sees, []

    def detect(self, image, *, threshold: float, look: Look = Look.MASKING):
        number = round(float(image[2:6, 2:6].mean()) / 2)
        self.looks.append((look, number))
        if (look is Look.MASKING and number in self.blind) or (
            look is Look.RESIDUAL and not self.residual_sees
        ):
            return ()
        found = []
        for kind, colour in MARK.items():
            near = (np.abs(image.astype(int) - colour).max(axis=2)) < _TOLERANCE
            labels, _ = ndimage.label(near)
            for rows, columns in ndimage.find_objects(labels):
                if (rows.stop - rows.start) * (columns.stop - columns.start) < 40:
                    continue
                box = PixelBox(x0=columns.start, y0=rows.start, x1=columns.stop, y1=rows.stop)
                found.append(Finding(kind=kind, where=box, confidence=0.9, detector="marks@000000000000"))
        return tuple(f for f in found if f.confidence >= threshold)

    def detect_batch(self, images, *, threshold: float, look: Look = Look.MASKING):
        return tuple(self.detect(i, threshold=threshold, look=look) for i in images)


class Saved(dict):
    """A checkpoint in memory."""

    def load(self, name: str) -> bytes | None:
        return self.get(name)

    def save(self, name: str, content: bytes) -> None:
        self[name] = content


def scene(index: int, *, size=(160, 120), step=2) -> np.ndarray:
    """A frame: a gradient, its number in the shade of a corner, a magenta and a green rectangle that move."""
    width, height = size
    y, x = np.mgrid[0:height, 0:width]
    image = np.stack([60 + x * 60 // width, 80 + y * 60 // height, 90 + (x + y) * 40 // (width + height)], 2)
    image = image.astype(np.uint8)
    image[:8, :8] = min(255, 2 * index)
    left = 16 + step * index % (width - 60)
    image[40:64, left : left + 20] = MARK[FindingKind.FACE]
    image[90:100, 100:130] = MARK[FindingKind.PLATE]
    return image


def film(
    frames=30,
    *,
    codec="libx264",
    pixels="yuv420p",
    container="mp4",
    times: Sequence[int] | None = None,
    base=Fraction(1, 1000),
    size=(160, 120),
    options=None,
    metadata=None,
    audio=False,
    videos=1,
    draw=scene,
    container_options=None,
    transfer=None,
) -> bytes:
    """A video of scenes, 10 frames a second unless ``times`` says otherwise."""
    out = io.BytesIO()
    with av.open(out, "w", format=container, options=container_options or {}) as muxer:
        muxer.metadata.update(metadata or {})
        streams = []
        for _ in range(videos):
            stream = muxer.add_stream(codec, rate=10, options=options or {})
            context = stream.codec_context
            context.width, context.height, context.pix_fmt = *size, pixels
            context.time_base = stream.time_base = base
            full = codec == "mjpeg"
            context.color_range = 2 if full else 1
            if transfer is not None:
                context.color_trc = transfer
            streams.append(stream)
        sound = muxer.add_stream("aac", rate=8000, layout="mono") if audio else None
        for index in range(frames):
            for stream in streams:
                picture = av.VideoFrame.from_ndarray(draw(index, size=size), format="rgb24")
                picture = picture.reformat(format=pixels, dst_color_range=2 if full else 1)
                picture.pts = times[index] if times else round(Fraction(index, 10) / base)
                picture.time_base = base
                muxer.mux(stream.encode(picture))
        for stream in streams:
            muxer.mux(stream.encode(None))
        if sound:
            for block in range(8):
                noise = av.AudioFrame.from_ndarray(
                    np.full((1, 1024), 0.1, np.float32), format="fltp", layout="mono"
                )
                noise.sample_rate, noise.pts = 8000, 1024 * block
                muxer.mux(sound.encode(noise))
            muxer.mux(sound.encode(None))
    return out.getvalue()


def frames_of(content: bytes) -> tuple[list[np.ndarray], list[Fraction]]:
    """Frames and times of a video, by PyAV alone."""
    with av.open(io.BytesIO(content)) as container:
        decoded = list(container.decode(video=0))
        return [f.to_ndarray(format="rgb24") for f in decoded], [f.pts * f.time_base for f in decoded]


@pytest.fixture(scope="session")
def kit():
    """What these tests share; test folders are no packages, so they cannot import it by name."""
    import types  # noqa: PLC0415

    return types.SimpleNamespace(
        MarkDetector=MarkDetector, Saved=Saved, film=film, frames_of=frames_of, scene=scene, MARK=MARK
    )


@pytest.fixture(scope="session")
def whole_profile() -> Profile:
    """The shipped profile with segments of one second, for what marks stand for.

    Masks are solid, for the mean of a mark has its colour.
    """
    profile = shipped_profile("cn-2026").profile
    images = replace(
        profile.images,
        face=replace(profile.images.face, mode="solid"),
        plate=replace(profile.images.plate, mode="solid"),
        limit_sign=None,
    )
    return replace(profile, images=images, videos=replace(profile.videos, segment_s=1.0))


@pytest.fixture(scope="session")
def samples() -> Path:
    root = Path(os.environ.get("FLEETGATE_SHARED", Path(__file__).parents[5] / "shared"))
    if not (root / "data" / "media" / "video").is_dir():
        pytest.skip("the shared sample data are not here (set FLEETGATE_SHARED)")
    return root / "data" / "media"
