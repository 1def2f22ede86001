"""Two releases of small street-like pictures with labelled boxes, and a search for their pixels in files."""

import io
import json
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 64
COUNTS = {"rel-a": 26, "rel-b": 10}
NETWORK = """
nc: 2
backbone:
  - [-1, 1, Conv, [8, 3, 2]]
  - [-1, 1, Conv, [16, 3, 2]]
  - [-1, 1, Conv, [16, 3, 2]]
  - [-1, 1, Conv, [32, 3, 2]]
head:
  - [[2, 3], 1, Detect, [nc]]
"""
_ROW = 8  # pixels of a row that are searched for: 24 bytes that no file has by chance


def box(number: int) -> tuple[int, int, int, int]:
    side = 20 + 4 * (number % 3)
    return 4 + 5 * number % (SIDE - side - 8), 6 + 7 * number % (SIDE - side - 8), side, side


def pixels(number: int) -> NDArray[np.uint8]:
    """Noise with a box of one of two colours in it."""
    rng = np.random.default_rng(number)
    picture = rng.integers(0, 120, (SIDE, SIDE, 3), dtype=np.uint8)
    x, y, width, height = box(number)
    colour = (250, 40, 40) if number % 2 else (40, 250, 40)
    picture[y : y + height, x : x + width] = colour
    return picture


def encoded(number: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels(number)).save(out, "JPEG" if number % 3 == 0 else "PNG", quality=95)
    return out.getvalue()


def name_of(release: str, number: int) -> str:
    return f"image/{release}-{number:03}.{'jpg' if number % 3 == 0 else 'png'}"


NUMBERS = {
    name_of(release, n + 100 * place): n + 100 * place
    for place, (release, count) in enumerate(COUNTS.items())
    for n in range(count)
}
CONTENTS = {
    release: {name: encoded(number) for name, number in NUMBERS.items() if f"/{release}-" in name}
    for release in COUNTS
}


def street_coco() -> bytes:
    document = {
        "categories": [{"id": 0, "name": "car"}, {"id": 1, "name": "行人"}],
        "images": [
            {"id": number, "file_name": name, "width": SIDE, "height": SIDE}
            for name, number in NUMBERS.items()
        ],
        "annotations": [
            {"id": number, "image_id": number, "category_id": number % 2, "bbox": list(box(number))}
            for number in NUMBERS.values()
        ],
    }
    return json.dumps(document).encode()


def picture_traces() -> list[bytes]:
    """What a file with a picture in it would hold: headers, compressed data, rows of pixels in either order."""
    traces = [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0\x00\x10JFIF"]
    for contents in CONTENTS.values():
        traces += [content[len(content) // 2 :][:32] for content in contents.values()]
    for number in NUMBERS.values():
        decoded = np.asarray(Image.open(io.BytesIO(encoded(number))).convert("RGB"))
        for row in (decoded[0, :_ROW], decoded[SIDE - 1, -_ROW:]):
            traces += [row.tobytes(), row[:, ::-1].tobytes(), row.T.tobytes(), row[:, ::-1].T.tobytes()]
    return traces


def files_with_pictures(folders: Iterable[Path]) -> list[str]:
    """Files below the folders that hold a trace of a picture."""
    traces = picture_traces()
    found = []
    for folder in folders:
        for parent, _, names in os.walk(folder):
            for name in names:
                path = Path(parent) / name
                if path.is_file() and not path.is_symlink():
                    content = path.read_bytes()
                    if any(trace in content for trace in traces):
                        found.append(str(path))
    return found
