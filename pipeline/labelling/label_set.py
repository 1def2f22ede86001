"""Labels of the frames of one release, checked against an ontology. Every operation gives a new set."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import pairwise
from typing import Any, Final

from pipeline.labelling.errors import LabelError
from pipeline.labelling.geometry import Cuboid, Geometry, between
from pipeline.labelling.ontology import AttributeValue, GeometryKind, LabelOntology

_SOURCE: Final = re.compile(r"person:[A-Za-z0-9._@+-]{1,128}|model@sha256:[0-9a-f]{64}")
_PERSON: Final = re.compile(r"[A-Za-z0-9._@+-]{1,128}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_OBJECT: Final = re.compile(r"0|[1-9][0-9]{0,17}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PERSON_PREFIX: Final = "person:"


class ReviewState(StrEnum):
    """What a reviewer said of a label."""

    OPEN = "open"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledFrame:
    """A picture of the release.

    Attributes:
        item: Name of the item in the release.
        sha256: Digest of the item, hexadecimal.
        width: In pixels.
        height: In pixels.
        time_us: Microseconds on the release's own clock; None where the release says none.
        sequence: Frames of one sequence are of one sensor and in order: tracks are interpolated within it.
    """

    item: str
    sha256: str
    width: int
    height: int
    time_us: int | None = None
    sequence: str = ""

    def __post_init__(self) -> None:
        if not self.item or not _DIGEST.fullmatch(self.sha256):
            raise LabelError(
                f"frame {self.item!r} (got digest {self.sha256!r}, expected a name and a SHA-256)"
            )
        for size in (self.width, self.height):
            if type(size) is not int or size <= 0:
                raise LabelError(f"size of frame {self.item!r} (got {size!r}, expected pixels)")
        if self.time_us is not None and type(self.time_us) is not int:
            raise LabelError(f"time of frame {self.item!r} (got {self.time_us!r}, expected microseconds)")


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledObject:
    """A thing that is seen in one or more frames.

    Attributes:
        id: Of its track: a number or a UUID in lower case, as OpenLABEL 1.0 names objects.
        label_class: Its class in the ontology.
    """

    id: str
    label_class: str

    def __post_init__(self) -> None:
        if not isinstance(self.id, str) or not _OBJECT.fullmatch(self.id):
            raise LabelError(f"object (got id {self.id!r}, expected a number or a UUID in lower case)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """Where an object is in a frame, and who says so.

    Attributes:
        item: The frame.
        object_id: The object.
        geometry: Its shape there; an object has at most one of each kind in a frame.
        source: ``person:ID`` or ``model@sha256:DIGEST``.
        confidence: In [0, 1]; None where the source gives none.
        attributes: Values by name.
        key: Whether somebody set it here; False: it was interpolated between key labels.
        review: What a reviewer said.
        reviewer: Who; somebody else than its source.
    """

    item: str
    object_id: str
    geometry: Geometry
    source: str
    confidence: float | None = None
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)
    key: bool = True
    review: ReviewState = ReviewState.OPEN
    reviewer: str | None = None

    def __post_init__(self) -> None:
        if not _SOURCE.fullmatch(self.source):
            raise LabelError(f"source (got {self.source!r}, expected 'person:ID' or 'model@sha256:DIGEST')")
        if self.confidence is not None:
            if isinstance(self.confidence, bool) or not 0 <= self.confidence <= 1:
                raise LabelError(f"confidence (got {self.confidence!r}, expected in [0, 1])")
            object.__setattr__(self, "confidence", float(self.confidence))
        if (self.reviewer is None) is not (self.review is ReviewState.OPEN):
            raise LabelError(
                f"reviewer of a label that is {self.review.value} (got {self.reviewer!r}, expected a person for "
                "those accepted or rejected, and for no other)"
            )
        if self.reviewer is not None and not _PERSON.fullmatch(self.reviewer):
            raise LabelError(f"reviewer (got {self.reviewer!r}, expected the id of a person)")
        if self.reviewer is not None and self.source == _PERSON_PREFIX + self.reviewer:
            raise LabelError(f"reviewer (got {self.reviewer!r}, expected another person than made the label)")

    @property
    def at(self) -> "LabelKey":
        """Its place in the set."""
        return self.item, self.object_id, self.geometry.kind


LabelKey = tuple[str, str, GeometryKind]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """What a label set rests on.

    Attributes:
        release: Id of the release whose items are the frames. One: no label set joins two releases (law 7).
        release_digest: Its digest, hexadecimal.
        code: Version of the code that made the set.
        artefacts: Ids of registered artefacts that it was made of, such as a model that labelled before.
    """

    release: str
    release_digest: str
    code: str
    artefacts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.release or not self.code or not _DIGEST.fullmatch(self.release_digest):
            raise LabelError(
                f"lineage (got release {self.release!r}, digest {self.release_digest!r}, code {self.code!r}, "
                "expected an id, a SHA-256 and a version)"
            )
        object.__setattr__(self, "artefacts", tuple(sorted(set(self.artefacts))))


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSet:
    """Labels that were checked; make one by ``new_label_set`` and change it by its methods.

    Attributes:
        ontology: What may be said.
        lineage: What it rests on.
        frames: By item, in order: time never goes back.
        objects: By id.
        labels: By frame, object and kind of geometry.
    """

    ontology: LabelOntology
    lineage: Lineage
    frames: Mapping[str, LabelledFrame]
    objects: Mapping[str, LabelledObject] = field(default_factory=dict)
    labels: Mapping[LabelKey, Label] = field(default_factory=dict)

    def of_frame(self, item: str) -> tuple[Label, ...]:
        """Labels of a frame in order of their objects.

        Raises:
            LabelError: There is no such frame.
        """
        self._frame(item)
        return tuple(sorted((each for at, each in self.labels.items() if at[0] == item), key=lambda e: e.at))

    def of_object(self, object_id: str) -> tuple[Label, ...]:
        """Labels of an object in order of the frames.

        Raises:
            LabelError: There is no such object.
        """
        self._object(object_id)
        order = {item: place for place, item in enumerate(self.frames)}
        found = (each for at, each in self.labels.items() if at[1] == object_id)
        return tuple(sorted(found, key=lambda each: (order[each.item], each.geometry.kind)))

    def class_of(self, label: Label) -> str:
        """The class of a label's object."""
        return self._object(label.object_id).label_class

    def free_id(self) -> str:
        """The lowest number above those of all objects."""
        return str(max((int(each) for each in self.objects if each.isdecimal()), default=-1) + 1)

    def with_object(self, added: LabelledObject) -> "LabelSet":
        """The set with one more object.

        Raises:
            LabelError: Its id is taken.
            LabelOntologyError: Its class is unknown.
        """
        if added.id in self.objects:
            raise LabelError(f"object (got id {added.id!r} again, expected a new one)")
        self.ontology.class_of(added.label_class)
        return replace(self, objects={**self.objects, added.id: added})

    def reclassified(self, object_id: str, label_class: str) -> "LabelSet":
        """The set with an object of another class; its labels, unless they fit the class, make it an error.

        Raises:
            LabelError: There is no such object.
            LabelOntologyError: The class is unknown, or a label has a kind or an attribute that it does not have.
        """
        changed = replace(self._object(object_id), label_class=label_class)
        self.ontology.class_of(label_class)
        for label in self.of_object(object_id):
            self.ontology.checked(label_class, label.geometry.kind, label.attributes)
        return replace(self, objects={**self.objects, object_id: changed})

    def without_object(self, object_id: str) -> "LabelSet":
        """The set without an object and its labels.

        Raises:
            LabelError: There is no such object.
        """
        self._object(object_id)
        return replace(
            self,
            objects={each: o for each, o in self.objects.items() if each != object_id},
            labels={at: label for at, label in self.labels.items() if at[1] != object_id},
        )

    def with_label(self, added: Label) -> "LabelSet":
        """The set with one more label.

        Raises:
            LabelError: The object has one of that kind there, or frame or object is unknown, or it is not inside.
            LabelOntologyError: The class has no such kind or attribute.
        """
        if added.at in self.labels:
            raise LabelError(
                f"object {added.object_id!r} (got a second {added.geometry.kind.value} in frame {added.item!r})"
            )
        return replace(self, labels={**self.labels, added.at: self.checked(added)})

    def with_changed(self, changed: Label) -> "LabelSet":
        """The set with another label in place of that of the same frame, object and kind.

        Raises:
            LabelError: There is none, or the new one is not inside the frame.
            LabelOntologyError: The class has no such attribute.
        """
        self._label(changed.at)
        return replace(self, labels={**self.labels, changed.at: self.checked(changed)})

    def without_label(self, at: LabelKey) -> "LabelSet":
        """The set without a label; its object stays.

        Raises:
            LabelError: There is none.
        """
        self._label(at)
        return replace(self, labels={each: label for each, label in self.labels.items() if each != at})

    def reviewed(self, at: LabelKey, review: ReviewState, reviewer: str | None) -> "LabelSet":
        """The set with what a reviewer says of a label.

        Raises:
            LabelError: There is none, or the reviewer made it.
        """
        return self.with_changed(replace(self._label(at), review=review, reviewer=reviewer))

    def interpolated(
        self, object_id: str, kind: GeometryKind, *, first: str | None = None, last: str | None = None
    ) -> "LabelSet":
        """The set with labels of an object in all frames between each two of its key labels.

        Boxes and polygons go linearly, cuboids linearly with slerp for their turn: in proportion to time where the
        frames state it, else to their number. A label between has source and attributes of the key label before,
        the lower confidence of both, and no review. Earlier interpolated labels are replaced.

        Args:
            object_id: The object.
            kind: Of its labels.
            first: Leave what is before this frame as it is.
            last: Leave what is after this frame as it is.

        Raises:
            LabelError: Fewer than two key labels in one sequence within the bounds, or shapes that do not mix.
        """
        items = list(self.frames)
        low = 0 if first is None else items.index(self._frame(first).item)
        high = len(items) - 1 if last is None else items.index(self._frame(last).item)
        sequences: dict[str, list[LabelledFrame]] = {}
        for item in items[low : high + 1]:
            sequences.setdefault(self.frames[item].sequence, []).append(self.frames[item])
        made: dict[LabelKey, Label] = {}
        pairs = 0
        for frames in sequences.values():
            keys = [
                place
                for place, frame in enumerate(frames)
                if (label := self.labels.get((frame.item, object_id, kind))) is not None and label.key
            ]
            for start, end in pairwise(keys):
                pairs += 1
                for label in self._between(frames[start : end + 1], object_id, kind):
                    made[label.at] = self.checked(label)
        if pairs == 0:
            raise LabelError(
                f"key labels of object {object_id!r} (got fewer than 2 {kind.value} in one sequence, expected 2)"
            )
        return replace(self, labels={**self.labels, **made})

    def _between(self, frames: list[LabelledFrame], object_id: str, kind: GeometryKind) -> Iterable[Label]:
        start, end = (self.labels[each.item, object_id, kind] for each in (frames[0], frames[-1]))
        told = [each for each in (start.confidence, end.confidence) if each is not None]
        times = [each.time_us for each in frames]
        known = [each for each in times if each is not None]
        timed = len(known) == len(times) and known[-1] > known[0]
        for place, frame in enumerate(frames[1:-1], start=1):
            share = (known[place] - known[0]) / (known[-1] - known[0]) if timed else place / (len(frames) - 1)
            yield Label(
                item=frame.item,
                object_id=object_id,
                geometry=between(start.geometry, end.geometry, share),
                source=start.source,
                confidence=min(told, default=None),
                attributes=start.attributes,
                key=False,
            )

    def _frame(self, item: str) -> LabelledFrame:
        if item not in self.frames:
            raise LabelError(f"frame (got {item!r}, expected one of {len(self.frames)} of the set)")
        return self.frames[item]

    def _object(self, object_id: str) -> LabelledObject:
        if object_id not in self.objects:
            raise LabelError(f"object (got {object_id!r}, expected one of {len(self.objects)} of the set)")
        return self.objects[object_id]

    def _label(self, at: LabelKey) -> Label:
        if at not in self.labels:
            raise LabelError(
                f"label (got {at[2].value} of object {at[1]!r} in frame {at[0]!r}, expected one there)"
            )
        return self.labels[at]

    def checked(self, label: Label) -> Label:
        """A label that may be in the set, with its attributes in their types.

        1. Frame and object are of the set.
        2. Class, kind and attributes are of the ontology.
        3. What is in the picture is inside it.

        Raises:
            LabelError: Step 1 or 3 fails.
            LabelOntologyError: Step 2 fails.
        """
        frame, known = self._frame(label.item), self._object(label.object_id)  # 1
        said = self.ontology.checked(known.label_class, label.geometry.kind, label.attributes)  # 2
        if not isinstance(label.geometry, Cuboid):  # 3
            left, top, right, bottom = label.geometry.extent
            if min(left, top) < 0 or right > frame.width or bottom > frame.height:
                raise LabelError(
                    f"{label.geometry.kind.value} of object {label.object_id!r} (got {left, top, right, bottom}, "
                    f"expected inside {frame.width} x {frame.height} of {frame.item!r})"
                )
        return replace(label, attributes=said)


def new_label_set(
    ontology: LabelOntology,
    lineage: Lineage,
    frames: Iterable[LabelledFrame],
    objects: Iterable[LabelledObject] = (),
    labels: Iterable[Label] = (),
) -> LabelSet:
    """A set of what is given, all of it checked.

    Raises:
        LabelError: An item, an object or a label comes twice, time goes back, there is no frame, or a label is not
            of a frame and an object, or not inside.
        LabelOntologyError: A class, a kind or an attribute is not of the ontology.
    """
    placed: dict[str, LabelledFrame] = {}
    latest: int | None = None
    for frame in frames:
        if frame.item in placed:
            raise LabelError(f"frame (got {frame.item!r} again, expected each once)")
        if frame.time_us is not None and latest is not None and frame.time_us < latest:
            raise LabelError(
                f"time of frame {frame.item!r} (got {frame.time_us} µs, expected at least {latest})"
            )
        latest = latest if frame.time_us is None else frame.time_us
        placed[frame.item] = frame
    if not placed:
        raise LabelError("frames (got none, expected at least 1)")
    known: dict[str, LabelledObject] = {}
    for each in objects:
        if each.id in known:
            raise LabelError(f"object (got id {each.id!r} again, expected each once)")
        ontology.class_of(each.label_class)
        known[each.id] = each
    bare = LabelSet(ontology=ontology, lineage=lineage, frames=placed, objects=known)
    found: dict[LabelKey, Label] = {}
    for label in labels:
        if label.at in found:
            raise LabelError(
                f"object {label.object_id!r} (got a second {label.geometry.kind.value} in frame {label.item!r})"
            )
        found[label.at] = bare.checked(label)
    return replace(bare, labels=found)


def as_person(principal: str) -> str:
    """The source of a person's labels."""
    return f"{_PERSON_PREFIX}{principal}"


def label_document(label: Label) -> dict[str, Any]:
    """A label as plain values, for pages and answers of commands; ``geometry`` has its ``kind``."""
    shape = label.geometry
    fields = {name: getattr(shape, name) for name in shape.__slots__}
    return {
        "item": label.item,
        "object": label.object_id,
        "geometry": {"kind": shape.kind.value, **fields},
        "source": label.source,
        "confidence": label.confidence,
        "attributes": dict(label.attributes),
        "key": label.key,
        "review": label.review.value,
        "reviewer": label.reviewer,
    }
