"""The pictures of a release, looked at one by one and tagged."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from pipeline.manifest import ReleaseItem
from pipeline.mining.descriptors import LOOK_VERSION, Look, look_at, look_from_json, look_to_json
from pipeline.mining.load import ReleaseSource
from pipeline.mining.tags import Tag, event_tags, picture_tags
from pipeline.mining.triggers import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture of a release.

    Attributes:
        item: As the manifest has it.
        look: What it looks like.
        tags: What is said about it.
    """

    item: ReleaseItem
    look: Look
    tags: tuple[Tag, ...]


class KeptLooks(Protocol):
    """Where looks are kept, sealed: ``DerivedStore``, or the outputs of a batch run."""

    def get(self, name: str) -> bytes | None:
        """A look that was put before."""
        ...

    def put(self, name: str, content: bytes) -> None:
        """Keep a look."""
        ...


def look_over(
    source: ReleaseSource,
    release: str,
    *,
    events: Iterable[Event] = (),
    said: Callable[[ReleaseItem], tuple[Tag, ...]] = lambda _: (),
    only: Collection[str] | None = None,
    looked: KeptLooks | None = None,
    progress: Callable[[ReleaseItem, int, int], None] = lambda *_: None,
) -> Mapping[str, Picture]:
    """Look at every picture of a release, one in memory at a time.

    Args:
        source: Where items are read.
        release: Id of the release.
        events: What triggers found in it.
        said: Tags of people.
        only: Names of the pictures to look at; None says all.
        looked: Where looks are kept, so that a run that broke off goes on, and another needs no picture at all.
        progress: Called before each picture with its number from 1 and how many there are.

    Raises:
        UnreadableItemError: An item of a picture's media type is none.
        PipelineError: The gate refuses, or what arrives is not what was signed.
    """
    happened = tuple(events)
    items = [item for item in picture_items(source, release) if only is None or item.name in only]
    found = {}
    for number, item in enumerate(items, start=1):
        progress(item, number, len(items))
        look = _look(source, release, item, looked)
        tags = (*said(item), *event_tags(item, happened), *picture_tags(look))
        found[item.name] = Picture(item=item, look=look, tags=tags)
    return found


def picture_items(source: ReleaseSource, release: str) -> tuple[ReleaseItem, ...]:
    """The pictures of a release, as its manifest has them."""
    return tuple(item for item in source.manifest(release).items if item.media_type.startswith("image/"))


def look_name(item: ReleaseItem) -> str:
    """What a picture's look is called where looks are kept: how it was measured, the picture and its mask."""
    return f"look {LOOK_VERSION} {item.sha256} {item.mask.sha256 if item.mask else 'without mask'}"


def look_at_item(source: ReleaseSource, release: str, item: ReleaseItem) -> Look:
    """Read a picture of a release and measure it.

    Raises:
        UnreadableItemError: It is none.
        PipelineError: The gate refuses, or what arrives is not what was signed.
    """
    mask = source.read(release, item.mask.name) if item.mask else None
    return look_at(source.read(release, item.name), mask, item=item.name)


def _look(source: ReleaseSource, release: str, item: ReleaseItem, looked: KeptLooks | None) -> Look:
    known = looked.get(look_name(item)) if looked else None
    if known is not None:
        return look_from_json(known)
    look = look_at_item(source, release, item)
    if looked:
        looked.put(look_name(item), look_to_json(look))
    return look
