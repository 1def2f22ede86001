"""One detector of any network: several scales, windows, batches, both looks, and one answer of all of them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from anonymize.errors import ModelError
from anonymize.finding import Finding, FindingKind
from anonymize.media.detection import Image, Look, require_rgb, to_finding
from anonymize.media.inference import Floats, Pixels
from anonymize.media.suppression import suppress
from anonymize.media.tiling import ObjectSizes, Rectangle, Scale, areas_around, scales_for, windows

_SIDE_PX = 1920
_MULTIPLE_OF_ALL = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Boxes:
    """What a network finds in one image.

    Attributes:
        corners: N × 4: x0, y0, x1, y1 in pixels.
        scores: N confidences.
        classes: N class indices.
    """

    corners: Floats
    scores: Floats
    classes: NDArray[np.intp]


class Network(Protocol):
    """A loaded model together with what its numbers mean.

    Attributes:
        name: Stable name.
        digest: SHA-256 of the model file.
        runtime: Engine, device and precision.
        classes: What each class index is a finding of, and its name.
        sizes: Objects that it finds reliably.
        canvas: Width and height of a fixed input; None where any multiple of 64 is taken.
        padding: Grey level around images that are smaller than the input.
        batch: How many images run together at best.
        weakest: Share of the threshold from which a weak response at half the scale says where to look
            closer; None where responses that weak are not told.
        overlap: Intersection over union from which two boxes are one object.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 - the class says
    @property
    def digest(self) -> str: ...  # noqa: D102 - the same
    @property
    def runtime(self) -> str: ...  # noqa: D102 - the same
    @property
    def classes(self) -> Mapping[int, tuple[FindingKind, str]]: ...  # noqa: D102 - the same
    @property
    def sizes(self) -> Mapping[FindingKind, ObjectSizes]: ...  # noqa: D102 - the same
    @property
    def canvas(self) -> tuple[int, int] | None: ...  # noqa: D102 - the same
    @property
    def padding(self) -> int: ...  # noqa: D102 - the same
    @property
    def batch(self) -> int: ...  # noqa: D102 - the same
    @property
    def weakest(self) -> float | None: ...  # noqa: D102 - the same
    @property
    def overlap(self) -> float: ...  # noqa: D102 - the same

    def infer(self, batch: Pixels, *, threshold: float) -> list[Boxes]:
        """Boxes of at least ``threshold`` in each of N × H × W × 3 images; may be called from several threads.

        Raises:
            ModelError: The model cannot be run, or answers in another form than it should.
        """


class PyramidDetector:
    """The ``Detector`` of a network.

    The passes over an image follow from the smallest object that must be found (``tiling.scales_for``). All
    but the finest see the whole image; the finest sees what the pass before it responds to, however weakly,
    where the network tells weak responses (``Network.weakest``), and the whole image otherwise. What several
    windows and scales find is merged by suppression. Memory is bounded by the size of a window, not of the
    image.
    """

    def __init__(self, network: Network, *, reach: Mapping[FindingKind, int]) -> None:
        """Take a network.

        Args:
            network: The network.
            reach: Height in pixels of the image of the smallest object of each kind that must be found.

        Raises:
            ModelError: The network finds nothing, a kind has no reach or no measured sizes, or objects of its
                reach are too small for the network even when enlarged.
        """
        self._network = network
        self.kinds = frozenset(kind for kind, _ in network.classes.values())
        without = sorted(self.kinds - (set(reach) & set(network.sizes)))
        if without or not self.kinds:
            raise ModelError(f"model {network.name} finds nothing, or kinds of no known size (got {without})")
        beyond = sorted(
            k for k in self.kinds if network.sizes[k].smallest_px > reach[k] * network.sizes[k].magnification
        )
        if beyond:
            wanted = {k.value: reach[k] for k in beyond}
            raise ModelError(f"model {network.name} does not find objects that small (got {wanted} px)")
        # The kind that needs the greatest magnification decides for all classes; the widest, the one that is
        # soonest too large and the one that may fill most of an image decide about windows and coarser passes.
        finest = max(sorted(self.kinds), key=lambda k: network.sizes[k].smallest_px / reach[k])
        every = [network.sizes[k] for k in self.kinds]
        self._reach = reach[finest]
        self._sizes = ObjectSizes(
            smallest_px=network.sizes[finest].smallest_px,
            largest_px=min(s.largest_px for s in every),
            aspect=max(s.aspect for s in every),
            magnification=max(s.magnification for s in every),
            tallest_share=max(s.tallest_share for s in every),
        )
        self._side = network.canvas or (_SIDE_PX, _SIDE_PX)
        self.name, self.digest, self.runtime = network.name, network.digest, network.runtime

    def detect(self, image: Image, *, threshold: float, look: Look = Look.MASKING) -> tuple[Finding, ...]:
        """See ``Detector.detect``."""
        return self.detect_batch((image,), threshold=threshold, look=look)[0]

    def detect_batch(
        self, images: Sequence[Image], *, threshold: float, look: Look = Look.MASKING
    ) -> tuple[tuple[Finding, ...], ...]:
        """See ``Detector.detect_batch``."""
        for image in images:
            require_rgb(image)
        shapes: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for index, image in enumerate(images):
            shapes[image.shape].append(index)
        found: dict[int, tuple[Finding, ...]] = {}
        for members in shapes.values():
            for start in range(0, len(members), self._network.batch):
                chosen = members[start : start + self._network.batch]
                alike = [images[i] for i in chosen]
                found |= zip(chosen, self._detect_alike(alike, threshold, look), strict=True)
        return tuple(found[i] for i in range(len(images)))

    def passes(self, size: tuple[int, int], look: Look) -> tuple[Scale, ...]:
        """The passes over images of ``size`` (width, height), coarsest first."""
        return scales_for(size, self._reach, self._sizes, look)

    def _detect_alike(self, images: list[Image], threshold: float, look: Look) -> list[tuple[Finding, ...]]:
        """``detect`` on images of one size."""
        height, width = images[0].shape[:2]
        whole = Rectangle(x0=0, y0=0, x1=width, y1=height)
        scales = self.passes((width, height), look)
        told: list[list[Boxes]] = [[] for _ in images]
        weakest = self._network.weakest
        levels = [_Levels(image, self._side) for image in images]
        for level in levels:
            level.prepare(scales if weakest is None or len(scales) == 1 else scales[:-1])
        for place, scale in enumerate(scales):
            closer = place > 0 and place == len(scales) - 1 and weakest is not None
            jobs = [
                (index, window)
                for index, before in enumerate(told)
                for area in (_promising(before[-1], (width, height), scale) if closer else (whole,))
                for window in windows(area, scale, self._side)
            ]
            floor = threshold if weakest is None or closer else threshold * weakest
            answers = self._run(levels, jobs, scale.factor, threshold=floor, mirrored=look is Look.RESIDUAL)
            for index, before in enumerate(told):
                before.append(_joined([b for (i, _), b in zip(jobs, answers, strict=True) if i == index]))
        return [self._findings(_joined(t), (width, height), threshold) for t in told]

    def _run(
        self,
        levels: "list[_Levels]",
        jobs: list[tuple[int, Rectangle]],
        factor: float,
        *,
        threshold: float,
        mirrored: bool,
    ) -> list[Boxes]:
        """Boxes of each window in pixels of its image; windows of one size run together."""
        alike: dict[tuple[int, int], list[int]] = defaultdict(list)
        for place, (_, window) in enumerate(jobs):
            alike[window.x1 - window.x0, window.y1 - window.y0].append(place)
        answers: dict[int, Boxes] = {}
        for (width, height), places in alike.items():
            size = max(1, round(width * factor)), max(1, round(height * factor))
            for start in range(0, len(places), self._network.batch):
                chosen = places[start : start + self._network.batch]
                parts = [levels[jobs[p][0]].part(jobs[p][1], size) for p in chosen]
                batch = self._canvas([p[:, ::-1] if mirrored else p for p in parts], size)
                found = self._network.infer(batch, threshold=threshold)
                for place, boxes in zip(chosen, found, strict=True):
                    answers[place] = _to_image(boxes, jobs[place][1], size, mirrored=mirrored)
        return [answers[place] for place in range(len(jobs))]

    def _canvas(self, parts: list[Image], size: tuple[int, int]) -> Pixels:
        """The resampled parts in the corners of one batch."""
        width, height = self._network.canvas or tuple(
            ceil(s / _MULTIPLE_OF_ALL) * _MULTIPLE_OF_ALL for s in size
        )
        batch = np.empty((len(parts), height, width, 3), dtype=np.uint8)
        batch[:, size[1] :] = batch[:, :, size[0] :] = self._network.padding
        for place, part in enumerate(parts):
            batch[place, : size[1], : size[0]] = part
        return batch

    def _findings(self, boxes: Boxes, size: tuple[int, int], threshold: float) -> tuple[Finding, ...]:
        detector = f"{self.name}@{self.digest[:12]}"
        strong = (boxes.scores >= threshold) & (boxes.scores > 0)
        found = []
        for index in np.unique(boxes.classes[strong]):
            if int(index) not in self._network.classes:
                raise ModelError(f"model {self.name} gave an unknown class (got {index})")
            kind, label = self._network.classes[int(index)]
            mine = strong & (boxes.classes == index)
            corners, scores = boxes.corners[mine], boxes.scores[mine]
            sizes = self._network.sizes[kind]
            believed = [
                sizes.plausible(float(c[3] - c[1]), float(s)) for c, s in zip(corners, scores, strict=True)
            ]
            corners, scores = corners[believed], scores[believed]
            found += [
                to_finding(kind, corners[i], float(scores[i]), size=size, detector=detector, label=label)
                for i in suppress(corners, scores, overlap=self._network.overlap)
            ]
        return tuple(f for f in found if f is not None)


def resample(image: Image, size: tuple[int, int]) -> Image:
    """Resize to ``size`` (width, height), area-weighted when shrinking."""
    if (image.shape[1], image.shape[0]) == size:
        return image
    pillow = PillowImage.fromarray(image)
    # Great reductions are made in two steps, the first by whole pixels: thrice as fast, and no less smooth.
    return np.asarray(pillow.resize(size, PillowImage.Resampling.BILINEAR, reducing_gap=1.0), dtype=np.uint8)


class _Levels:
    """One image at the sizes of several passes; each level is made of the next larger one.

    Kept are only levels that a network takes in one window, so that memory does not grow with the image.
    """

    def __init__(self, image: Image, side_px: tuple[int, int]) -> None:
        self._image = image
        self._side_px = side_px
        self._kept: dict[tuple[int, int], Image] = {}

    def prepare(self, scales: Sequence[Scale]) -> None:
        """Make the levels of passes that see the whole image in one window."""
        height, width = self._image.shape[:2]
        source = self._image
        for scale in reversed(scales):
            size = max(1, round(width * scale.factor)), max(1, round(height * scale.factor))
            if scale.factor < 1 and size[0] <= self._side_px[0] and size[1] <= self._side_px[1]:
                source = self._kept[size] = resample(source, size)

    def part(self, window: Rectangle, size: tuple[int, int]) -> Image:
        """A window of the image at ``size`` (width, height)."""
        height, width = self._image.shape[:2]
        if (window.x1 - window.x0, window.y1 - window.y0) == (width, height) and size in self._kept:
            return self._kept[size]
        crop = self._image[window.y0 : window.y1, window.x0 : window.x1]
        return resample(np.ascontiguousarray(crop), size)


def _to_image(boxes: Boxes, window: Rectangle, size: tuple[int, int], *, mirrored: bool) -> Boxes:
    """Boxes of a window's input, in pixels of the image."""
    width, height = window.x1 - window.x0, window.y1 - window.y0
    corners = boxes.corners * np.array([width / size[0], height / size[1]] * 2, dtype=np.float32)
    if mirrored:
        corners[:, [0, 2]] = width - corners[:, [2, 0]]
    corners += np.array([window.x0, window.y0] * 2, dtype=np.float32)
    return Boxes(corners=corners, scores=boxes.scores, classes=boxes.classes)


def _joined(parts: list[Boxes]) -> Boxes:
    return Boxes(
        corners=np.concatenate([np.empty((0, 4), np.float32), *(p.corners for p in parts)]),
        scores=np.concatenate([np.empty(0, np.float32), *(p.scores for p in parts)]),
        classes=np.concatenate([np.empty(0, np.intp), *(p.classes for p in parts)]),
    )


def _promising(boxes: Boxes, size: tuple[int, int], scale: Scale) -> Sequence[Rectangle]:
    """Where a coarser pass responds to something that is small enough to be this pass's."""
    heights = boxes.corners[:, 3] - boxes.corners[:, 1]
    return areas_around(boxes.corners[heights < scale.smaller_than_px], size, scale)
