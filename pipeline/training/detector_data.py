"""Pictures of sealed shards as ultralytics' data set takes them: decrypted and decoded in memory, cached nowhere.

Importing this module imports ultralytics, taken offline.
"""

import random
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Any, Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from pipeline.errors import PipelineError
from pipeline.training.errors import DetectorError, LabelFileError
from pipeline.training.labels import PictureLabels
from pipeline.training.order import share, walk
from pipeline.training.sealed_pictures import SealedPictures
from pipeline.training.timeline import Timeline
from pipeline.training.training_manifest import TrainingSample
from pipeline.training.ultralytics_offline import import_ultralytics

import_ultralytics()

from ultralytics.data.dataset import YOLODataset  # noqa: E402 - only once it is offline

_JPEG: Final = b"\xff\xd8\xff"
_PNG: Final = b"\x89PNG\r\n\x1a\n"

Pixels = NDArray[np.uint8]
_Loaded = tuple[
    Pixels, tuple[int, int], tuple[int, int]
]  # picture, height and width as it came, as it is now


def decoded(content: bytes, labels: PictureLabels, sample: TrainingSample) -> Pixels:
    """A JPEG or PNG picture as blue, green, red of 8 bits, turned by no tag, of the size that its labels say.

    Other formats are refused: OpenCV decodes some of them by way of a file.

    Raises:
        LabelFileError: Its size is another.
        DetectorError: It is no such picture, or is damaged.
    """
    name = f"{sample.release}/{sample.name}"
    if not content.startswith((_JPEG, _PNG)):
        raise DetectorError(
            f"picture {name!r} (got first bytes {content[:8].hex()}, expected of a JPEG or PNG)"
        )
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    picture = cv2.imdecode(np.frombuffer(content, dtype=np.uint8), flags)
    if picture is None:
        raise DetectorError(f"picture {name!r} does not decode")
    if picture.shape[:2] != (labels.height, labels.width):
        raise LabelFileError(
            f"size of {name!r} (got {(labels.width, labels.height)}, expected {picture.shape[1::-1]})"
        )
    return np.asarray(picture, dtype=np.uint8)


class SealedPictureDataset(YOLODataset):  # type: ignore[misc,unused-ignore]
    """ultralytics' data set of boxes over sealed pictures; it lists, scans, caches and writes no file."""

    def __init__(
        self, pictures: SealedPictures, chosen: Sequence[int], *, imgsz: int, **options: Any
    ) -> None:
        """Bind the pictures at the chosen places; options are ultralytics'."""
        self._side = imgsz
        self._recent: dict[int, _Loaded] = {}
        self._pictures = pictures
        self._chosen = {_key(pictures.manifest.samples[index]): index for index in chosen}
        super().__init__(img_path="", imgsz=imgsz, cache=False, **options)

    def get_img_files(self, img_path: str | list[str]) -> list[str]:  # noqa: ARG002 - ultralytics' signature
        """Names of the pictures; there are no files."""
        return list(self._chosen)

    def get_labels(self) -> list[dict[str, Any]]:
        """Boxes of the pictures from their shards: centre and size, relative to the picture."""
        numbers = {label: number for number, label in self.data["names"].items()}
        return [
            _annotations(name, self._pictures.labels[index], numbers) for name, index in self._chosen.items()
        ]

    def load_image(
        self,
        i: int,
        rect_mode: bool = True,  # noqa: FBT001, FBT002 - ultralytics' signature
        resize_short: bool = False,  # noqa: FBT001, FBT002 - the same
    ) -> _Loaded:
        """A picture scaled so that its longer side is that of training; recent ones stay in memory for mosaics.

        Raises:
            PipelineError: As ``SealedPictures.read`` and ``decoded``.
        """
        if resize_short or not rect_mode:
            raise DetectorError("scaling (got another than by the longer side)")
        if i in self._recent:
            return self._recent[i]
        index = self._chosen[self.im_files[i]]
        labels, sample = self._pictures.labels[index], self._pictures.manifest.samples[index]
        picture = decoded(self._pictures.read(index), labels, sample)
        scale = self._side / max(labels.width, labels.height)
        height, width = (max(1, min(round(n * scale), self._side)) for n in (labels.height, labels.width))
        if (height, width) != picture.shape[:2]:
            picture = np.asarray(cv2.resize(picture, (width, height)), dtype=np.uint8)
        loaded = picture, (labels.height, labels.width), (height, width)
        if self.augment:
            self._recent[i] = loaded
            self.buffer.append(i)
            if 1 < len(self.buffer) >= self.max_buffer_length:
                del self._recent[self.buffer.pop(0)]
        return loaded

    def place_of(self, name: str) -> int:
        """Place in the training manifest of a picture by its name here."""
        return self._chosen[name]

    def forget(self) -> None:
        """Drop the pictures in memory, so that an epoch does not depend on the one before."""
        self.buffer.clear()
        self._recent.clear()


class EpochOrder:
    """The chosen pictures of a rank in the order of an epoch, shard by shard, for a data set of the same choice.

    Over all ranks each comes once; fewer than ``world`` are left out so that ranks are even, others in each epoch.
    None is repeated.
    """

    def __init__(
        self, pictures: SealedPictures, chosen: Sequence[int], *, seed: int, rank: int, world: int
    ) -> None:
        """Begin with the first epoch."""
        self._pictures, self._seed, self._rank, self._world = pictures, seed, rank, world
        self._positions = {index: position for position, index in enumerate(chosen)}
        self._firsts = {}
        first = 0
        for place in pictures.places:
            self._firsts[place.release, place.number] = first
            first += place.samples
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of another epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self._positions) // self._world

    def __iter__(self) -> Iterator[int]:
        everything = range(len(self._pictures))
        path = walk(self._pictures.places, everything, seed=self._seed, epoch=self.epoch, shuffle=True)
        ordered = [
            self._positions[index]
            for place, inside in path
            for index in (self._firsts[place.release, place.number] + each for each in inside)
            if index in self._positions
        ]
        mine = share(len(ordered), rank=self._rank, world=self._world, worker=0, workers=1, even=True)
        return iter(ordered[mine.start : mine.stop])


class SealedPictureLoader:
    """Batches of a data set by loading processes that begin anew in each epoch, so that its order is its own.

    What is random in an epoch is drawn from its seed, its number and the rank: a run that was taken up again at
    the begin of an epoch goes on as one that never stopped.
    """

    drop_last = False

    def __init__(
        self,
        dataset: SealedPictureDataset,
        sampler: EpochOrder | range,
        *,
        batch_size: int,
        workers: int,
        seed: Sequence[int] = (),
        timeline: Timeline | None = None,
    ) -> None:
        """Bind a loader.

        Args:
            dataset: What is loaded.
            sampler: Places in the data set.
            batch_size: Pictures of a batch; the last may have fewer.
            workers: Loading processes, forked; 0 loads in this one.
            seed: Of what is random, beside the epoch.
            timeline: What learns of the time.
        """
        self.dataset, self.sampler = dataset, sampler
        self.batch_size = min(batch_size, max(1, len(sampler)))
        self.num_workers = min(workers, len(self))
        self._seed, self._timeline = tuple(seed), timeline

    def __len__(self) -> int:
        return (len(self.sampler) + self.batch_size - 1) // self.batch_size

    def __iter__(self) -> Iterator[dict[str, Any]]:
        generator = torch.Generator()
        if isinstance(self.sampler, EpochOrder):
            self.dataset.forget()
            drawn = _draw(*self._seed, self.sampler.epoch)
            _seed_process(drawn)
            generator.manual_seed(drawn)
        batches: DataLoader[Any] = DataLoader(
            self.dataset,
            batch_size=self.batch_size,
            sampler=self.sampler,
            num_workers=self.num_workers,
            collate_fn=SealedPictureDataset.collate_fn,
            worker_init_fn=_seed_worker,
            generator=generator,
            multiprocessing_context="fork" if self.num_workers else None,
        )
        try:
            if self._timeline is None:
                yield from batches
            else:
                yield from self._timeline.measured(batches, lambda batch: int(batch["img"].shape[0]))
        except PipelineError as error:
            raise _brief(error) from error

    def reset(self) -> None:
        """Nothing outlasts an epoch."""

    def close(self) -> None:
        """Nothing outlasts an epoch."""


def _key(sample: TrainingSample) -> str:
    return f"{sample.release}/{sample.name}"


def _annotations(name: str, labels: PictureLabels, numbers: dict[str, int]) -> dict[str, Any]:
    if unknown := sorted({box.label for box in labels.boxes} - set(numbers)):
        raise LabelFileError(f"classes of {name!r} (got {unknown}, expected of {sorted(numbers)})")
    size = np.array([labels.width, labels.height], dtype=np.float32)
    corners = np.array([(b.x, b.y, b.x + b.width, b.y + b.height) for b in labels.boxes], dtype=np.float32)
    corners = corners.reshape(-1, 4)
    upper = np.clip(corners[:, :2], 0, size) / size
    lower = np.clip(corners[:, 2:], 0, size) / size
    return {
        "im_file": name,
        "shape": (labels.height, labels.width),
        "cls": np.array([[numbers[b.label]] for b in labels.boxes], dtype=np.float32).reshape(-1, 1),
        "bboxes": np.hstack([(upper + lower) / 2, lower - upper]).astype(np.float32),
        "segments": [],
        "keypoints": None,
        "normalized": True,
        "bbox_format": "xywh",
    }


def _draw(*what: int) -> int:
    digest = blake2b("\0".join(map(str, what)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def _seed_process(drawn: int) -> None:
    random.seed(drawn)
    np.random.seed(drawn % 2**32)  # noqa: NPY002 - ultralytics' augmentation draws from the global state
    torch.manual_seed(drawn)


def _seed_worker(_worker: int) -> None:
    _seed_process(torch.initial_seed())
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def _brief(error: PipelineError) -> PipelineError:
    """The error that a loading process raised, without the trace that torch puts before it."""
    _, found, told = str(error).rpartition(f"{type(error).__name__}: ")
    return type(error)(told.strip()) if found and str(error).startswith("Caught ") else error
