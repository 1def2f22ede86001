"""A labelling task: frames of one release, what may be said of them, who labels and reviews, and until when."""

import base64
import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from joserfc.jwk import OKPKey

from pipeline.artefacts import ArtefactKind, DerivedArtefact
from pipeline.client import GatewayClient
from pipeline.labelling.errors import TaskError, TaskOverError
from pipeline.labelling.geometry import BoundingBox, Cuboid, Geometry, Polygon
from pipeline.labelling.label_set import (
    Label,
    LabelledFrame,
    LabelledObject,
    LabelSet,
    Lineage,
    ReviewState,
    new_label_set,
)
from pipeline.labelling.ontology import GeometryKind, LabelOntology, read_label_ontology
from pipeline.labelling.store import TaskFolder
from pipeline.labelling.watermark import picture_size
from pipeline.manifest import ReleaseItem, ReleaseManifest
from pipeline.sealed_cache import SealedCache

PICTURES: Final = frozenset({"image/jpeg", "image/png", "image/webp", "image/bmp", "image/tiff"})
TASK: Final = "task"
OBJECTS: Final = "objects"
ONTOLOGY: Final = "ontology"
MODELS: Final = "models"

_PERSON: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
_ID: Final = re.compile(r"task-[0-9a-f]{12}")
_MICROSECONDS: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelTask:
    """A task as its owner made it.

    Attributes:
        id: Its id.
        name: What people call it.
        release: The release whose items are the frames.
        release_digest: Its digest, hexadecimal.
        purpose: That of the grant.
        frames: Pictures in order.
        ontology: What may be said.
        annotators: Who labels.
        reviewers: Who accepts and rejects; nobody of the annotators.
        owner: The principal that holds the grant.
        created_at: When it was made.
        expires_at: After it nothing is shown and nothing is saved; at most the release's end of use.
        artefact: Id of its label set at the gate, once it was closed.
    """

    id: str
    name: str
    release: str
    release_digest: str
    purpose: str
    frames: tuple[LabelledFrame, ...]
    ontology: LabelOntology
    annotators: tuple[str, ...]
    reviewers: tuple[str, ...]
    owner: str
    created_at: datetime
    expires_at: datetime
    artefact: str | None = None

    def hold_open(self, now: datetime) -> None:
        """Be sure that the task may be worked on.

        Raises:
            TaskOverError: It was closed, or its time is over.
        """
        if self.artefact is not None:
            raise TaskOverError(f"task {self.id} is closed; its label set is artefact {self.artefact}")
        if now >= self.expires_at:
            raise TaskOverError(f"task {self.id} (got end {self.expires_at.isoformat()}, which has passed)")

    def lineage(self, artefacts: Iterable[str] = ()) -> Lineage:
        """What its label set rests on."""
        code = f"fleetgate {version('fleetgate')}"
        return Lineage(
            release=self.release, release_digest=self.release_digest, code=code, artefacts=tuple(artefacts)
        )


def frame_items(
    manifest: ReleaseManifest, pattern: str = "*"
) -> tuple[tuple[ReleaseItem, int | None, str], ...]:
    """The pictures of a release whose names match, in order of time, with time in microseconds and sequence.

    Clips of a LOCAL release state times from 0 each: they are laid one after another, each a sequence of its own.
    """
    found = [i for i in manifest.items if i.media_type in PICTURES and fnmatchcase(i.name, pattern)]
    if found and all(item.clip for item in found):
        return _of_clips(found)
    if found and all(item.captured_at for item in found):
        ordered = sorted(found, key=lambda i: (i.captured_at, i.name))
        return tuple(
            (i, round(i.captured_at.timestamp() * _MICROSECONDS), "") for i in ordered if i.captured_at
        )
    return tuple((item, None, "") for item in sorted(found, key=lambda i: i.name))


def _of_clips(found: Iterable[ReleaseItem]) -> tuple[tuple[ReleaseItem, int | None, str], ...]:
    placed: list[tuple[ReleaseItem, int | None, str]] = []
    number, base, latest = -1, 0, 0
    for item in sorted(
        found, key=lambda i: (i.clip.number, i.clip.t_s, i.name) if i.clip else (0, 0.0, i.name)
    ):
        if item.clip is None:
            continue
        if item.clip.number != number:
            number, base = item.clip.number, latest
        latest = base + round(item.clip.t_s * _MICROSECONDS)
        placed.append((item, latest, f"clip-{number}"))
    return tuple(placed)


def create_task(  # noqa: PLR0913 - what a task is
    root: Path,
    source: GatewayClient | SealedCache,
    *,
    key: OKPKey,
    owner: str,
    name: str,
    release: str,
    ontology: bytes,
    annotators: Iterable[str],
    reviewers: Iterable[str],
    expires_at: datetime,
    pattern: str = "*",
    limit: int | None = None,
    now: datetime | None = None,
    progress: Callable[[ReleaseItem, int, int], None] = lambda *_: None,
) -> LabelTask:
    """Make a task: every frame is read once, under the grant, for its size.

    Args:
        root: Folder of tasks.
        source: Where items are read; the gate decides on each.
        key: The owner's private key.
        owner: The principal.
        name: What people call it.
        release: Id of the release.
        ontology: The file of the ontology (YAML).
        annotators: Ids of people who label; at least one.
        reviewers: Ids of people who review; nobody of the annotators.
        expires_at: End of the task.
        pattern: Names of items that become frames.
        limit: At most so many frames, the first ones.
        now: The time, for the end.
        progress: Called before each frame.

    Raises:
        TaskError: Nobody labels, somebody both labels and reviews, an id is none, there are no frames, or the end
            is past or after the release's.
        LabelOntologyError: The ontology is malformed.
        PictureError: A frame is no picture.
        PipelineError: The gate refuses or cannot be asked.
    """
    labelling, reviewing = _people(annotators, reviewers)
    read = read_label_ontology(ontology)
    manifest = source.manifest(release)
    begun = now or datetime.now(tz=UTC)
    if not begun < expires_at <= manifest.expires_at:
        raise TaskError(
            f"end of the task (got {expires_at.isoformat()}, expected after {begun.isoformat()} and at most the "
            f"release's {manifest.expires_at.isoformat()})"
        )
    items = frame_items(manifest, pattern)[:limit]
    if not items:
        raise TaskError(f"frames (got no picture of release {release} that matches {pattern!r})")
    frames = []
    for number, (item, time_us, sequence) in enumerate(items, start=1):
        progress(item, number, len(items))
        width, height = picture_size(source.read(release, item.name))
        frames.append(
            LabelledFrame(
                item=item.name,
                sha256=item.sha256,
                width=width,
                height=height,
                time_us=time_us,
                sequence=sequence,
            )
        )
    task = LabelTask(
        id=f"task-{secrets.token_hex(6)}",
        name=name,
        release=release,
        release_digest=manifest.digest,
        purpose=manifest.purpose,
        frames=tuple(frames),
        ontology=read,
        annotators=labelling,
        reviewers=reviewing,
        owner=owner,
        created_at=begun,
        expires_at=expires_at,
    )
    new_label_set(
        task.ontology, task.lineage(), task.frames
    )  # frames that no label set could have are refused now
    folder = TaskFolder(root, task.id, key)
    folder.make()
    folder.amend(ONTOLOGY, lambda _: base64.b64encode(ontology).decode("ascii"), by=owner)
    folder.amend(TASK, lambda _: task_document(task), by=owner)
    return task


def open_task(folder: TaskFolder) -> LabelTask:
    """The task of a folder.

    Raises:
        TaskError: Its id is none.
        LabelStoreError: There is no such task, or it was altered.
    """
    if not _ID.fullmatch(folder.task):
        raise TaskError(f"task (got {folder.task!r}, expected an id such as task-0123456789ab)")
    said, ontology = folder.last(TASK), folder.last(ONTOLOGY)
    if said is None or ontology is None:
        raise TaskError(f"task {folder.task} was never finished being made; make another")
    value = said.value
    read = read_label_ontology(base64.b64decode(ontology.value))
    return LabelTask(
        id=folder.task,
        ontology=read,
        frames=tuple(LabelledFrame(**frame) for frame in value["frames"]),
        annotators=tuple(value["annotators"]),
        reviewers=tuple(value["reviewers"]),
        created_at=datetime.fromisoformat(value["created_at"]),
        expires_at=datetime.fromisoformat(value["expires_at"]),
        **{
            each: value[each]
            for each in ("name", "release", "release_digest", "purpose", "owner", "artefact")
        },
    )


def task_document(task: LabelTask) -> dict[str, Any]:
    """A task as plain values."""
    return {
        "name": task.name,
        "release": task.release,
        "release_digest": task.release_digest,
        "purpose": task.purpose,
        "frames": [
            {
                "item": frame.item,
                "sha256": frame.sha256,
                "width": frame.width,
                "height": frame.height,
                "time_us": frame.time_us,
                "sequence": frame.sequence,
            }
            for frame in task.frames
        ],
        "ontology": {
            "name": task.ontology.name,
            "version": task.ontology.version,
            "sha256": task.ontology.digest,
        },
        "annotators": list(task.annotators),
        "reviewers": list(task.reviewers),
        "owner": task.owner,
        "created_at": task.created_at.isoformat(),
        "expires_at": task.expires_at.isoformat(),
        "artefact": task.artefact,
    }


def frame_document(number: int) -> str:
    """Name of the document of a frame's labels."""
    return f"frame:{number}"


def geometry_of(value: Any) -> Geometry:
    """A shape of plain values, as ``label_document`` writes it.

    Raises:
        LabelError: It is none.
        KeyError, TypeError, ValueError: Members are missing or of other types.
    """
    match GeometryKind(value["kind"]):
        case GeometryKind.BBOX:
            return BoundingBox(**{each: value[each] for each in ("x", "y", "width", "height")})
        case GeometryKind.POLYGON:
            return Polygon(points=tuple((x, y) for x, y in value["points"]))
        case GeometryKind.CUBOID:
            return Cuboid(
                centre=tuple(value["centre"]),
                size=tuple(value["size"]),
                quaternion=tuple(value["quaternion"]),
                frame=value["frame"],
            )


def stored_label(item: str, value: Any) -> Label:
    """A label as it is kept in the document of its frame."""
    return Label(
        item=item,
        object_id=value["object"],
        geometry=geometry_of(value["geometry"]),
        source=value["source"],
        confidence=value["confidence"],
        attributes=value["attributes"],
        key=value["key"],
        review=ReviewState(value["review"]),
        reviewer=value["reviewer"],
    )


def rest_on_model(folder: TaskFolder, task: LabelTask, digest: str, artefact: str) -> None:
    """Note that a registered model labels frames of a task: its label set names the model as parent from now on.

    Raises:
        LabelStoreError: The folder cannot be written.
    """
    last = folder.last(MODELS)
    if last is None or last.value.get(digest) != artefact:
        folder.amend(MODELS, lambda known: {**(known or {}), digest: artefact}, by=task.owner)


def label_set_of(folder: TaskFolder, task: LabelTask) -> LabelSet:
    """All labels of a task, resting on the models that labelled before; objects without any are left out.

    Raises:
        LabelStoreError: A document was altered.
        LabelError: Documents contradict one another.
    """
    labels = [
        stored_label(frame.item, value)
        for number, frame in enumerate(task.frames)
        if (last := folder.last(frame_document(number))) is not None
        for value in last.value["labels"]
    ]
    used = {label.object_id for label in labels}
    objects = [o for o in objects_of(folder) if o.id in used]
    models = folder.last(MODELS)
    lineage = task.lineage(() if models is None else models.value.values())
    return new_label_set(task.ontology, lineage, task.frames, objects, labels)


def objects_of(folder: TaskFolder) -> tuple[LabelledObject, ...]:
    """Objects of a task in order of their numbers."""
    last = folder.last(OBJECTS)
    known = {} if last is None else last.value
    numbered = sorted(known, key=lambda each: (len(each), each))
    return tuple(LabelledObject(id=each, label_class=known[each]) for each in numbered)


def close_task(
    folder: TaskFolder, client: GatewayClient, document: Callable[[LabelSet], bytes]
) -> tuple[LabelTask, bytes]:
    """End a task: its label set is registered at the gate, and nothing of it is shown or saved any more.

    Args:
        folder: Of the task.
        client: Connection to the gate.
        document: Writes the label set; its digest is what the gate knows.

    Returns:
        The closed task and the document. Closing it again gives both again.

    Raises:
        LabelStoreError: The folder was altered.
        RefusedError: The gate refuses: nothing was closed.
        PipelineError: It cannot be asked.
    """
    folder.check()
    task = open_task(folder)
    labels = label_set_of(folder, task)
    content = document(labels)
    if task.artefact is not None:
        return task, content
    artefact = client.register(artefact_of(folder, task, content, labels.lineage.artefacts))
    closed = replace(task, artefact=artefact)
    folder.amend(TASK, lambda _: task_document(closed), by=task.owner)
    return closed, content


def artefact_of(
    folder: TaskFolder, task: LabelTask, content: bytes, parents: tuple[str, ...] = ()
) -> DerivedArtefact:
    """The label set of a task as it is registered, with the artefacts that it rests on."""
    return DerivedArtefact(
        kind=ArtefactKind.LABEL_SET,
        name=task.name,
        sha256=sha256(content).hexdigest(),
        code=f"fleetgate {version('fleetgate')}",
        parameters={
            "task": task.id,
            "ontology": task.ontology.name,
            "ontology_version": task.ontology.version,
            "ontology_sha256": task.ontology.digest,
            "frames": len(task.frames),
            "journal_sha256": folder.journal_head(),
        },
        releases=(task.release,),
        items=tuple(sorted({frame.sha256 for frame in task.frames})),
        artefacts=parents,
    )


def _people(annotators: Iterable[str], reviewers: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    labelling, reviewing = sorted(set(annotators)), sorted(set(reviewers))
    for person in (*labelling, *reviewing):
        if not _PERSON.fullmatch(person):
            raise TaskError(
                f"person (got {person!r}, expected up to 64 of the letters A-Z, digits and . _ @ + -)"
            )
    if not labelling:
        raise TaskError("annotators (got none, expected at least 1)")
    if both := sorted(set(labelling) & set(reviewing)):
        raise TaskError(f"reviewers (got {both}, who label as well; expected other people)")
    return tuple(labelling), tuple(reviewing)
