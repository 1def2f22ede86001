"""From a release to tagged pictures, and from a question to what is printed."""

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from pipeline.manifest import ReleaseItem
from pipeline.mining.answers import tag_answer
from pipeline.mining.clip import ClipIdentity
from pipeline.mining.descriptors import FloatVector, look_at
from pipeline.mining.errors import QuestionError
from pipeline.mining.load import ReleaseSource, load_signals
from pipeline.mining.ontology import Ontology
from pipeline.mining.pictures import KeptLooks, Picture, look_over, picture_items
from pipeline.mining.search import Hit, ImageSearch, TextSearch
from pipeline.mining.sentences import bundled_model
from pipeline.mining.tags import read_tag_file
from pipeline.mining.thumbnails import data_uri, watermarked
from pipeline.mining.trigger_file import TriggerFile
from pipeline.mining.triggers import Event, find_events


def tagged_pictures(
    source: ReleaseSource,
    release: str,
    ontology: Ontology,
    *,
    triggers: TriggerFile | None,
    said: bytes | None,
    only: Collection[str] | None = None,
    looked: KeptLooks | None,
    progress: Callable[[ReleaseItem, int, int], None],
) -> tuple[dict[str, Picture], dict[str, Any]]:
    """The pictures of a release with their tags, and the digests of what these were made with.

    Args:
        source: Where items are read.
        release: Id of the release.
        ontology: The vocabulary.
        triggers: Look for their events; None to look for none.
        said: A file of tags that people gave.
        only: Names of the pictures to tag; None says all.
        looked: Where looks are kept.
        progress: Called before each item.

    Raises:
        TagFileError: The file of tags is malformed, or names what is not there.
        UnreadableItemError: An item is not what its name says.
        PipelineError: The gate refuses, or what arrives is not what was signed.
    """
    names = [item.name for item in picture_items(source, release)]
    people = read_tag_file(said, ontology, names) if said is not None else {}
    events: tuple[Event, ...] = ()
    if triggers is not None:
        events = find_events(load_signals(source, release, progress=progress).table, triggers).events
    found = look_over(
        source,
        release,
        events=events,
        said=lambda item: people.get(item.name, ()),
        only=only,
        looked=looked,
        progress=progress,
    )
    used: dict[str, Any] = {"ontology": ontology.digest}
    if triggers is not None:
        used["triggers"] = triggers.digest
    if said is not None:
        used["tags"] = sha256(said).hexdigest()
    return dict(found), used


def asked(
    text: str | None,
    like: str | None,
    image: bytes | None,
    count: int,
    clip: ClipIdentity | None = None,
) -> dict[str, Any]:
    """A question as it is reported to the gate: of one's own picture its digest, and which network answers."""
    question = {
        "text": text,
        "like": like,
        "image": None if image is None else sha256(image).hexdigest(),
        "clip": None if clip is None else clip.document(),
    }
    return {name: said for name, said in question.items() if said is not None} | {"count": count}


def ask_words(pictures: dict[str, Picture], ontology: Ontology, text: str, count: int) -> dict[str, Any]:
    """Pictures by words.

    Raises:
        QuestionError: There are no words.
    """
    try:
        answer = TextSearch({name: p.tags for name, p in pictures.items()}, ontology, bundled_model).find(
            text, count
        )
    except ValueError as error:
        raise QuestionError(str(error)) from error
    return {
        "mode": answer.mode,
        "tags": list(answer.tags),
        "unread": answer.unread,
        "results": _results(pictures, answer.hits),
    }


def ask_like(
    pictures: dict[str, Picture], name: str | None, image: bytes | None, count: int
) -> dict[str, Any]:
    """Pictures by another, of the release or of the reader's own; one of the release is not its own result.

    Raises:
        QuestionError: The release has no such picture.
        UnreadableItemError: The reader's own is no picture.
    """
    search = ImageSearch({each: p.look.descriptor for each, p in pictures.items()})
    if name is None:
        hits = search.find(look_at(image or b"", None, item="--image").descriptor, count)
    elif name in pictures:
        found = search.find(pictures[name].look.descriptor, count + 1)
        hits = tuple(hit for hit in found if hit.name != name)[:count]
    else:
        raise QuestionError(f"picture (got {name!r}, expected one of the release's {len(pictures)})")
    return {"mode": search.mode, "results": _results(pictures, hits)}


def ask_clip(
    vectors: Mapping[str, FloatVector],
    clip: ClipIdentity,
    wanted: FloatVector | None,
    like: str | None,
    count: int,
    tagged: Callable[[Collection[str]], dict[str, Picture]],
) -> dict[str, Any]:
    """Pictures of a release as a network sees them.

    Args:
        vectors: Of the release's pictures.
        clip: Of which network.
        wanted: The vector of words or of a picture of the reader's own; None where ``like`` is asked.
        like: Name of a picture of the release, which is not its own result.
        count: How many results at most.
        tagged: Gives the results with their tags.

    Raises:
        QuestionError: The release has no such picture.
    """
    search = ImageSearch(vectors)
    if wanted is not None:
        hits = search.find(wanted, count)
    elif like is not None and like in vectors:
        hits = tuple(hit for hit in search.find(vectors[like], count + 1) if hit.name != like)[:count]
    else:
        raise QuestionError(f"picture (got {like!r}, expected one of the release's {len(vectors)})")
    results = _results(tagged([hit.name for hit in hits]), hits)
    return {"mode": "clip", "model": clip.document(), "vectors": search.mode, "results": results}


def with_thumbnails(answer: dict[str, Any], source: ReleaseSource, release: str, principal: str) -> None:
    """Add marked thumbnails to results; each is a reading of its item."""
    for result in answer["results"]:
        content = source.read(release, result["item"])
        marked = watermarked(content, principal=principal, release=release, now=datetime.now(tz=UTC))
        result["thumbnail"] = data_uri(marked)


def _results(pictures: dict[str, Picture], hits: tuple[Hit, ...]) -> list[dict[str, Any]]:
    return [
        {
            "item": hit.name,
            "score": round(hit.score, 4),
            "tags": [tag_answer(tag) for tag in pictures[hit.name].tags],
        }
        for hit in hits
    ]
