"""What an attacker with a dictionary reads through each mask: numbers of drawn plates, masked, after JPEG 80.

    python benchmarks/mask_inversion.py [--plates 20] [--candidates 500] [--width 140] [--font FONT.ttc] [--json]

A plate is drawn, darkened, blurred a little and shifted by a fraction of a pixel, given noise, masked and
encoded as JPEG of quality 80. The attacker knows the geometry to within a pixel, the mask and the typeface,
draws every candidate number, masks it in the same way at nine shifts, and takes the candidate that correlates
best. A plate counts as read when that is its own number; chance is one in the number of candidates. The last
column averages over ten frames, as a video offers them. Without --font (a CJK typeface), the plates have no
province character.
"""

import argparse
import io
import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from anonymize.finding import Finding, FindingKind, PixelBox
from anonymize.media.mask_fills import fill_of
from anonymize.media.masks import mask
from anonymize.profile import MaskTreatment, shipped_profile

Mask = Callable[[np.ndarray], np.ndarray]
_PROVINCES = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"
_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
_SHIFTS = tuple((dx, dy) for dx in (-0.5, 0.0, 0.5) for dy in (-0.5, 0.0, 0.5))
_FRAMES = 10
_BLUE, _WHITE = (30, 70, 170), (235, 235, 235)
_ASPECT = 440 / 140  # GA 36: 440 mm × 140 mm
_LUMA = np.array([0.2126, 0.7152, 0.0722])


def numbers(rng: np.random.Generator, count: int, *, province: bool) -> list[str]:
    found: dict[str, None] = {}
    while len(found) < count:
        head = str(rng.choice(list(_PROVINCES))) if province else ""
        tail = "".join(rng.choice(list(_LETTERS + "0123456789"), 5))
        found[f"{head}{rng.choice(list(_LETTERS))}{tail}"] = None
    return list(found)


def drawn(number: str, font: ImageFont.FreeTypeFont) -> Image.Image:
    """A blue plate of 880 × 280 pixels."""
    plate = Image.new("RGB", (880, 280), _BLUE)
    draw = ImageDraw.Draw(plate)
    draw.rectangle((8, 8, 871, 271), outline=_WHITE, width=6)
    pitch = 840 / len(number)
    for i, character in enumerate(number):
        draw.text((20 + (i + 0.5) * pitch, 140), character, fill=_WHITE, font=font, anchor="mm")
    return plate


def seen(plate: Image.Image, width: int, shift: tuple[float, float]) -> np.ndarray:
    """The plate as a camera sees it, with a margin of an eighth, shifted by fractions of a pixel."""
    margin = width // 8
    height = round(width / _ASPECT)
    scale = plate.width / width
    box = (
        -(margin + shift[0]) * scale, -(margin + shift[1]) * scale,
        plate.width + (margin - shift[0]) * scale, plate.height + (margin - shift[1]) * scale,
    )  # fmt: skip
    ground = Image.new("RGB", (plate.width + round(2 * margin * scale), plate.height + round(2 * margin * scale)),
                       (70, 72, 75))  # fmt: skip
    ground.paste(plate, (round(-box[0]), round(-box[1])))
    size = (width + 2 * margin, height + 2 * margin)
    return np.asarray(ground.resize(size, Image.Resampling.BOX), dtype=np.uint8)


def photographed(scene: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another exposure and sensor noise."""
    exposed = scene * rng.uniform(0.6, 1.0) + rng.uniform(0, 15)
    return np.clip(exposed + rng.normal(0, 4, scene.shape), 0, 255).astype(np.uint8)


def compressed(image: np.ndarray) -> np.ndarray:
    out = io.BytesIO()
    Image.fromarray(image).save(out, format="JPEG", quality=80)
    return np.asarray(Image.open(out), dtype=np.uint8)


def inner(image: np.ndarray, width: int) -> tuple[slice, slice]:
    margin = width // 8
    return slice(margin, image.shape[0] - margin), slice(margin, image.shape[1] - margin)


def square_cells(px: int) -> Mask:
    """Cells of a fixed size in pixels, as common tools make them; Fleetgate does not offer it."""

    def apply(image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        small = Image.fromarray(image).resize(
            (max(1, round(width / px)), max(1, round(height / px))), Image.Resampling.BOX
        )
        return np.asarray(small.resize((width, height), Image.Resampling.NEAREST), dtype=np.uint8)

    return apply


def treated(treatment: MaskTreatment) -> Mask:
    return lambda image: np.broadcast_to(fill_of(image, None, FindingKind.PLATE, treatment), image.shape)


def masks() -> dict[str, Mask]:
    def of(mode: str, **options: object) -> Mask:
        return treated(
            MaskTreatment(mode=mode, enlarge=0.0, threshold=0.5, accept_inversion_risk=True, **options)
        )

    return {
        "none": lambda image: image,
        **{f"cells of {px} px": square_cells(px) for px in (4, 8, 12, 16, 26)},
        **{
            f"blur, {share:g} of the shorter side": of("blur", blur_share=share) for share in (0.25, 0.5, 1.0)
        },
        "pixelate, 3 cells": of("pixelate", cells=3),
        "pixelate, 2 cells": of("pixelate", cells=2),
        "mean": of("mean"),
        "solid": of("solid"),
    }


def vector(region: np.ndarray) -> np.ndarray:
    """Luma of zero mean and unit length; zeros where all is alike."""
    luma = region.astype(np.float64) @ _LUMA
    luma = luma - luma.mean()
    length = np.linalg.norm(luma)
    return (luma / length if length > 1e-9 else luma * 0).astype(np.float32).ravel()


def attack(
    name: str, hide: Mask, plates: list[Image.Image], targets: list[int], width: int, seed: int
) -> dict:
    """How many of the targets are read, from one frame and from the average of ten."""
    views = [[seen(p, width, s) for s in _SHIFTS] for p in plates]
    where = inner(views[0][0], width)
    book = np.stack([vector(hide(v[where])) for shifted in views for v in shifted])
    rng = np.random.default_rng(seed)
    reads = [0, 0]
    for target in targets:
        frames = []
        for _ in range(_FRAMES):
            scene = photographed(seen(plates[target], width, tuple(rng.uniform(-0.5, 0.5, 2))), rng)
            scene[where] = hide(scene[where])
            frames.append(compressed(scene)[where])
        for i, picture in enumerate((frames[0], np.mean(frames, axis=0))):
            scores = (book @ vector(picture)).reshape(len(plates), -1).max(axis=1)
            best = np.flatnonzero(scores >= scores.max() - 1e-6)
            reads[i] += int(rng.choice(best) == target)
    return {"mask": name, "plates": len(targets), "read": reads[0], "read_from_10_frames": reads[1]}


def profile_is_consistent() -> None:
    """The fills attacked here are those of ``mask``: same pixels for the same region."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (60, 160, 3), np.uint8)
    profile = shipped_profile("cn-2026").profile.images
    chosen = replace(profile.plate, mode="pixelate", cells=3, enlarge=0.0)
    box = PixelBox(x0=20, y0=20, x1=140, y1=50)
    finding = Finding(kind=FindingKind.PLATE, where=box, confidence=1.0, detector="benchmark")
    masked = mask(image, [finding], profile=replace(profile, plate=chosen))
    edge = masked.boxes[0]
    region = image[edge.y0 : edge.y1, edge.x0 : edge.x1]
    assert np.array_equal(masked.image[edge.y0 : edge.y1, edge.x0 : edge.x1],
                          fill_of(region, None, FindingKind.PLATE, chosen))  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--plates", type=int, default=20)
    parser.add_argument("--candidates", type=int, default=500)
    parser.add_argument("--width", type=int, default=140, help="width of the plate in pixels")
    parser.add_argument("--font", help="a CJK typeface, for the province character")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    profile_is_consistent()
    font = ImageFont.truetype(options.font, 150) if options.font else ImageFont.load_default(150)
    rng = np.random.default_rng(7)
    plates = [drawn(n, font) for n in numbers(rng, options.candidates, province=bool(options.font))]
    targets = [int(t) for t in rng.choice(options.candidates, options.plates, replace=False)]
    rows = [attack(name, hide, plates, targets, options.width, 11) for name, hide in masks().items()]
    if options.json:
        print(json.dumps({"width": options.width, "candidates": options.candidates, "rows": rows}))
        return
    chance = options.plates / options.candidates
    print(f"plates {options.width} px wide, {options.candidates} candidates, chance {chance:.2f}")
    for row in rows:
        print(
            f"{row['mask']:32s} {row['read']:3d} of {row['plates']}  ten frames {row['read_from_10_frames']:3d}"
        )


if __name__ == "__main__":
    main()
