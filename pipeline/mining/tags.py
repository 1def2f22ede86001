"""Tags of pictures: from events, masks, the picture itself and people, each with its source and confidence."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from jsonschema import Draft202012Validator

from pipeline.manifest import ReleaseItem
from pipeline.mining.descriptors import Look
from pipeline.mining.errors import TagFileError
from pipeline.mining.ontology import Ontology
from pipeline.mining.triggers import Event
from pipeline.mining.yaml_file import YamlFileError, read_yaml

Source = Literal["event", "mask", "picture", "person"]

NIGHT_BELOW: Final = 0.28
"""Mean luma, 0 to 1."""
BLURRED_BELOW: Final = 40.0
"""Variance of the Laplacian at 512 pixels of width."""
MANY_FROM: Final = 4
"""Masked places."""
AROUND_S: Final = 1.0
"""A picture this long before or after an event still shows it."""

_VALIDATOR: Final = Draft202012Validator(
    {
        "type": "object",
        "additionalProperties": False,
        "required": ["format", "version", "by", "tags"],
        "properties": {
            "format": {"const": "fleetgate-tags"},
            "version": {"type": "integer", "minimum": 1},
            "by": {"type": "string", "minLength": 1, "maxLength": 200},
            "tags": {
                "type": "object",
                "additionalProperties": {
                    "type": "object",
                    "additionalProperties": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
                },
            },
        },
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """A statement about a picture.

    Attributes:
        name: ``group:value`` of the ontology.
        source: What says so.
        confidence: 0 to 1. Of pictures and masks it follows from the distance to a threshold and is no measured
            probability.
        by: The trigger, the person, or what was measured.
    """

    name: str
    source: Source
    confidence: float
    by: str


def picture_tags(look: Look) -> tuple[Tag, ...]:
    """What a picture and its mask say by themselves."""
    night = look.brightness < NIGHT_BELOW
    blurred = look.sharpness < BLURRED_BELOW
    made = [
        Tag(
            name=f"time_of_day:{'night' if night else 'day'}",
            source="picture",
            confidence=_beyond(abs(look.brightness - NIGHT_BELOW) / 0.08),
            by=f"brightness {look.brightness:.3f}",
        ),
        Tag(
            name=f"picture:{'blurred' if blurred else 'sharp'}",
            source="picture",
            confidence=_beyond(abs(math.log((look.sharpness + 1.0) / (BLURRED_BELOW + 1.0)))),
            by=f"sharpness {look.sharpness:.1f}",
        ),
    ]
    if look.masked_places is not None:
        count = look.masked_places
        value = "none" if count == 0 else "many" if count >= MANY_FROM else "few"
        # Places that touch count as one, and a mask of no place may come of a detector that missed some.
        confidence = 0.9 if count == 0 or count >= MANY_FROM else 0.7
        made.append(
            Tag(name=f"masked:{value}", source="mask", confidence=confidence, by=f"{count} masked places")
        )
    return tuple(made)


def event_tags(item: ReleaseItem, events: Iterable[Event]) -> tuple[Tag, ...]:
    """The events that a picture of a LOCAL release shows: those of its clip within ``AROUND_S`` of its time.

    Clips are numbered within a recording, and a release of several does not say which is whose. Where events of
    its clip's number come from several items, the confidence is one in so many.
    """
    if item.clip is None:
        return ()
    clip = item.clip
    near = [
        event
        for event in events
        if event.clip.number == clip.number and event.begin_s - AROUND_S <= clip.t_s <= event.end_s + AROUND_S
    ]
    made = {}
    for name in sorted({event.trigger for event in near}):
        of = [event for event in near if event.trigger == name]
        made[name] = Tag(
            name=f"event:{name}",
            source="event",
            confidence=1.0 / len({event.clip.item for event in of}),
            by=f"{name} v{of[0].version}",
        )
    return tuple(made.values())


def read_tag_file(content: bytes, ontology: Ontology, names: Iterable[str]) -> Mapping[str, tuple[Tag, ...]]:
    """Tags that people gave to pictures, by the picture's name.

    Args:
        content: A file of tags.
        ontology: The vocabulary.
        names: The pictures that there are.

    Raises:
        TagFileError: It is malformed, names a picture that is not there or a tag that the ontology does not have.
    """
    try:
        document = read_yaml(content, _VALIDATOR)
    except YamlFileError as error:
        raise TagFileError(str(error)) from error
    known = set(names)
    made = {}
    for name, tags in document["tags"].items():
        if name not in known:
            raise TagFileError(f"tags.{name}: the release has no such picture")
        unknown = sorted(tags.keys() - ontology.tags.keys())
        if unknown:
            raise TagFileError(f"tags.{name}: {unknown} (expected tags of the ontology)")
        made[name] = tuple(
            Tag(name=tag, source="person", confidence=float(confidence), by=document["by"])
            for tag, confidence in tags.items()
        )
    return made


def stratum(tags: Iterable[Tag], groups: Iterable[str]) -> tuple[str, ...]:
    """The most confident value of each group; ``""`` where there is none. People outweigh the rest."""
    ranked = sorted(tags, key=lambda tag: (tag.source == "person", tag.confidence), reverse=True)
    found = []
    for group in groups:
        values = (tag.name.partition(":")[2] for tag in ranked if tag.name.partition(":")[0] == group)
        found.append(next(values, ""))
    return tuple(found)


def _beyond(margin: float) -> float:
    """From 0.5 at a threshold towards 1."""
    return round(1.0 - 0.5 * math.exp(-margin), 3)
