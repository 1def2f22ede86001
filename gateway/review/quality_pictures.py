"""The pictures of a built candidate: which there are, and each as it would leave.

The unit is one picture: a still image, a frame of a video, an image message of a container. What is read is the
released file itself, by its seal, so that what a person saw is what the release digest covers.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from anonymize.containers.codec import codec_of
from anonymize.containers.messages.images import image_file
from anonymize.containers.open import open_container
from anonymize.containers.rules import treatment_of
from anonymize.containers.stream import Container, ContainerKind
from anonymize.finding import FindingKind
from anonymize.formats.identify import ItemKind
from anonymize.media.detection import Image
from anonymize.media.image_decoding import ImageKind, decode_upright, open_image, released_kind
from anonymize.media.video.frames import read_frames
from anonymize.media.video.plan import MaskPlan
from anonymize.media.video.timeline import read_timeline
from anonymize.profile import Profile
from gateway.errors import EvidenceError
from gateway.flow.classify import buffered
from gateway.flow.gate import Gate
from gateway.flow.kinds.handling import IMAGE_KINDS, has_pixels
from gateway.flow.kinds.images import image_kind
from gateway.flow.recording import Built, BuiltItem, Cleansed
from gateway.vault.seekable import SealedFile
from gateway.vault.store import Context

MASKED, CLEAR, UNKNOWN = "masked", "clear", "unknown"
_MASKABLE = (FindingKind.FACE, FindingKind.PLATE, FindingKind.LIMIT_SIGN)
STRATA = (MASKED, CLEAR, UNKNOWN)
"""Pictures in which something was masked; in which nothing was; and of containers, which do not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PicturedItem:
    """A released item with pictures.

    Attributes:
        name: Its name in the release.
        pictures: How many it shows.
        masked: Half-open ranges of those in which something was masked; None where the evidence does not tell.
        light: ``day``, ``dusk`` or ``night`` where that was measured, else empty.
    """

    name: str
    pictures: int
    masked: tuple[tuple[int, int], ...] | None
    light: str

    def stratum(self, index: int) -> str:
        """The stratum of a picture."""
        if self.masked is None:
            return UNKNOWN
        return MASKED if any(begin <= index < end for begin, end in self.masked) else CLEAR

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        ranges = None if self.masked is None else [list(each) for each in self.masked]
        return {"name": self.name, "pictures": self.pictures, "masked": ranges, "light": self.light}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "PicturedItem":
        """Read ``as_dict``."""
        ranges = document["masked"]
        return cls(
            name=str(document["name"]),
            pictures=int(document["pictures"]),
            masked=None if ranges is None else tuple((int(a), int(b)) for a, b in ranges),
            light=str(document["light"]),
        )


def pictured_items(gate: Gate, built: Built, cleansed: Sequence[Cleansed]) -> tuple[PicturedItem, ...]:
    """What a candidate shows of pictures, in the order of names.

    Raises:
        AnonymizeError: A released file cannot be read.
        VaultError: It does not open.
    """
    found = []
    for item, source in zip(built.items, cleansed, strict=True):
        if not has_pixels(source):
            continue
        light = str(source.payload["facts"].get("luminance", ""))
        count, masked = _counted(gate, built, item, source)
        if count:
            found.append(PicturedItem(name=item.name, pictures=count, masked=masked, light=light))
    return tuple(sorted(found, key=lambda each: each.name))


def _counted(
    gate: Gate, built: Built, item: BuiltItem, source: Cleansed
) -> tuple[int, tuple[tuple[int, int], ...] | None]:
    profile = gate.profile.profile
    kind = source.classified.kind
    if kind in IMAGE_KINDS:
        treated: Mapping[str, int] = source.payload["treated"]
        return 1, ((0, 1),) if any(treated.get(each.value) for each in _MASKABLE) else ()
    file = _opened(gate, built, item)
    if kind is not ItemKind.VIDEO:
        container = open_container(file, ContainerKind.MCAP, profile=profile.containers)
        return sum(container.summary.counts.get(channel, 0) for channel in _shows(container, profile)), None
    frames = read_timeline(file, profile=profile).frames
    if item.mask is None:
        return frames, None
    context = Context(owner=built.terms.release, object=item.mask.name, role="release-mask")
    plan = MaskPlan.from_dict(json.loads(b"".join(gate.vault.open(item.mask.seal, context).chunks())))
    if plan.frames != frames:
        raise EvidenceError(
            f"the masks of {item.name} are for {plan.frames} frames (got a video of {frames})"
        )
    return frames, _ranges(sorted(plan.boxes))


def _ranges(frames: Sequence[int]) -> tuple[tuple[int, int], ...]:
    found: list[tuple[int, int]] = []
    for frame in frames:
        if found and found[-1][1] == frame:
            found[-1] = (found[-1][0], frame + 1)
        else:
            found.append((frame, frame + 1))
    return tuple(found)


def picture_of(gate: Gate, built: Built, source: Cleansed, name: str, index: int) -> Image:
    """A picture as it would leave: H × W × 3, RGB, upright.

    Args:
        gate: The gate.
        built: The candidate.
        source: What the item was made of.
        name: Name of the item in the release.
        index: Which of its pictures, from 0.

    Raises:
        EvidenceError: The candidate has no such picture.
        AnonymizeError: The file cannot be read.
        VaultError: It does not open.
    """
    item = next((each for each in built.items if each.name == name), None)
    if item is None:
        raise EvidenceError(f"the candidate has no such item (got {name!r})")
    profile = gate.profile.profile
    kind, file = source.classified.kind, _opened(gate, built, item)
    if kind in IMAGE_KINDS:
        return _still(file.read(), released_kind(image_kind(kind)), profile)
    if kind is ItemKind.VIDEO:
        timeline = read_timeline(file, profile=profile)
        for frame in read_frames(file, timeline, profile=profile, start=index, end=index + 1):
            return frame.rgb()
    else:
        container = open_container(file, ContainerKind.MCAP, profile=profile.containers)
        for place, (content, of) in enumerate(_messages(container, profile)):
            if place == index:
                return _still(content, of, profile)
    raise EvidenceError(f"item {name} has no such picture (got {index})")


def _still(content: bytes, kind: ImageKind, profile: Profile) -> Image:
    image, _ = decode_upright(open_image(content, kind, profile=profile.images))
    return image


def _shows(container: Container, profile: Profile) -> frozenset[int]:
    # The second pass adds a channel of its own, of clips, which no rule names and which shows nothing.
    channels = container.summary.channels
    return frozenset(each.id for each in channels if treatment_of(each, profile.containers) == "image")


def _messages(container: Container, profile: Profile) -> Iterator[tuple[bytes, ImageKind]]:
    for message in container.messages(_shows(container, profile)):
        yield image_file(codec_of(message.channel).decode(message.data))


def _opened(gate: Gate, built: Built, item: BuiltItem) -> BinaryIO:
    context = Context(owner=built.terms.release, object=item.name, role="release")
    return buffered(SealedFile(gate.vault.open(item.seal, context)))
