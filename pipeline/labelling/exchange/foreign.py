"""What readers of other formats find, made labels of a set; and what writers leave out."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

from pipeline.errors import PipelineError
from pipeline.labelling.errors import ExchangeError
from pipeline.labelling.exchange.class_map import ClassMap
from pipeline.labelling.geometry import Geometry
from pipeline.labelling.label_set import Label, LabelledFrame, LabelledObject, LabelSet, new_label_set


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignLabel:
    """A label as another format has it.

    Attributes:
        place: Where it stands in the files, for messages.
        item: Its frame.
        label_class: Its class there.
        geometry: Its shape.
        track: What labels of one object have in common; None where it is alone.
        confidence: In [0, 1].
        attributes: Values by the names that they have there.
    """

    place: str
    item: str
    label_class: str
    geometry: Geometry
    track: str | None = None
    confidence: float | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """Files of another format, and what it has no place for.

    Attributes:
        files: Content by path.
        left_out: Counts of what was left out, by what it is.
    """

    files: Mapping[str, bytes]
    left_out: Mapping[str, int]


def with_foreign(base: LabelSet, found: Iterable[ForeignLabel], source: str, class_map: ClassMap) -> LabelSet:
    """A label set with foreign labels as well; each track, and each label without one, is a new object.

    Raises:
        ExchangeError: A class is unknown, a track has two classes, or a label is none here; the message names its
            place.
    """
    objects: list[LabelledObject] = []
    tracks: dict[str, LabelledObject] = {}
    labels: list[Label] = []
    free = int(base.free_id())
    for each in found:
        with placed(each.place):
            name = class_map.own(each.label_class, base.ontology)
            known = tracks.get(each.track) if each.track is not None else None
            if known is None:
                known = LabelledObject(id=str(free + len(objects)), label_class=name)
                objects.append(known)
                if each.track is not None:
                    tracks[each.track] = known
            if known.label_class != name:
                raise ExchangeError(f"track {each.track!r} (got classes {known.label_class!r} and {name!r})")
            label = Label(
                item=each.item,
                object_id=known.id,
                geometry=each.geometry,
                source=source,
                confidence=each.confidence,
                attributes=class_map.own_attributes(each.attributes),
            )
            labels.append(replace(base, objects={known.id: known}, labels={}).checked(label))
    if not labels:
        raise ExchangeError("labels (got none in the files, expected at least 1)")
    return new_label_set(
        base.ontology,
        base.lineage,
        base.frames.values(),
        [*base.objects.values(), *objects],
        [*base.labels.values(), *labels],
    )


def frame_of(base: LabelSet, name: Any, size: tuple[Any, Any] | None, place: str) -> LabelledFrame:
    """The frame of a file name, held against the size that the files state.

    Raises:
        ExchangeError: No item of the set has the name, or the size is another one.
    """
    if name not in base.frames:
        raise ExchangeError(
            f"{place}: picture (got {name!r}, expected an item of release {base.lineage.release!r})"
        )
    frame = base.frames[name]
    if size is not None and size != (frame.width, frame.height):
        raise ExchangeError(
            f"{place}: size of {name!r} (got {size}, expected {(frame.width, frame.height)} as released)"
        )
    return frame


@contextmanager
def placed(place: str) -> Iterator[None]:
    """Say where in the files it is that a label is none.

    Raises:
        ExchangeError: The block raises an error of this package; the message begins with the place.
    """
    try:
        yield
    except PipelineError as error:
        raise ExchangeError(f"{place}: {error}") from error


def read_json(content: bytes, place: str) -> Any:
    """A document of JSON without NaN.

    Raises:
        ExchangeError: It is none.
    """
    try:
        return json.loads(content, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise ExchangeError(f"{place}: {error}") from error


def as_json(document: Any) -> bytes:
    """A document as JSON for people and programs."""
    return (json.dumps(document, ensure_ascii=False, indent=1) + "\n").encode()


class LeftOut(Counter[str]):
    """Counts of what a format has no place for."""

    def shape(self, label: Label) -> None:
        """A label of a kind that the format does not have."""
        self[f"{label.geometry.kind.value} labels"] += 1

    def attributes(self, names: Iterable[str]) -> None:
        """Attributes of a label that the format does not have."""
        for name in names:
            self[f"attribute {name}"] += 1


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON")
