"""What the label server does for a person: show one frame at a time, marked, and keep what they save.

Law 1: pixels come through the client from the gate's ``serve`` only, and the gate is asked before anything of the
release is shown. Law 3: plaintext is in memory. There is no way to get labels or pictures in bulk.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any

from joserfc.jwk import OKPKey

from pipeline.artefacts import UseKind
from pipeline.client import GatewayClient
from pipeline.labelling import editing
from pipeline.labelling.errors import LabelError, NoSuchFrameError, NotAdmittedError, TaskError
from pipeline.labelling.invitations import admitted, part_of, standing
from pipeline.labelling.label_set import LabelledFrame, LabelSet, ReviewState
from pipeline.labelling.lease import DEFAULT_LEASE_S, ReleaseLease, ending
from pipeline.labelling.ontology import GeometryKind
from pipeline.labelling.sessions import ANNOTATOR, REVIEWER, VIEWS_PER_MINUTE, LabelSession, Sessions
from pipeline.labelling.store import NONE_YET, Conflict, Revision, TaskFolder, tasks_in
from pipeline.labelling.task import (
    OBJECTS,
    TASK,
    LabelTask,
    frame_document,
    label_set_of,
    objects_of,
    open_task,
)
from pipeline.labelling.watermark import ShownPicture, marked
from pipeline.sealed_cache import SealedCache


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameView:
    """A frame as a person may see it.

    Attributes:
        number: Its place in the task, from 0.
        frame: The frame.
        labels: Its labels, as they are kept.
        revision: Number of the revision that they are of; 0: never saved.
        token: For one view of the picture.
    """

    number: int
    frame: LabelledFrame
    labels: list[Mapping[str, Any]]
    revision: int
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpolated:
    """What an interpolation did: frames that it saved, and frames that somebody saved meanwhile."""

    saved: tuple[int, ...]
    left: tuple[int, ...]


@dataclass(slots=True, kw_only=True)
class _Opened:
    folder: TaskFolder
    task: LabelTask
    revision: int
    lease: ReleaseLease


class LabelService:
    """The tasks of one owner at work."""

    def __init__(  # noqa: PLR0913 - what a server is started with
        self,
        root: Path,
        client: GatewayClient,
        source: GatewayClient | SealedCache,
        *,
        key: OKPKey,
        owner: str,
        purpose: str,
        lease_s: float = DEFAULT_LEASE_S,
        views_per_minute: int = VIEWS_PER_MINUTE,
        clock: Callable[[], datetime] = lambda: datetime.now(tz=UTC),
    ) -> None:
        """Open a folder of tasks and hold each against its journal.

        Args:
            root: Folder of tasks.
            client: Connection to the gate, which stays open.
            source: Where pictures are read: the connection, or the sealed cache over it.
            key: The owner's private key.
            owner: The principal.
            purpose: Of the grant; tasks of other purposes are not served.
            lease_s: Seconds for which the gate's answer holds.
            views_per_minute: Pictures that a person may see in a minute.
            clock: The time.

        Raises:
            LabelStoreError: A task was altered, or a save that was acknowledged is not there.
            TaskError: There is no task of that owner and purpose.
        """
        self._root, self._client, self._source = root, client, source
        self._key, self._lease_s, self.clock = key, lease_s, clock
        self.sessions = Sessions(clock, views_per_minute=views_per_minute)
        self._begun: dict[str, int] = {}
        self._counted: dict[tuple[str, int], dict[str, int]] = {}
        self._opened: dict[str, _Opened] = {}
        self._lock = Lock()
        for task in tasks_in(root):
            opened = self._open(task)
            if (opened.task.owner, opened.task.purpose) != (owner, purpose):
                del self._opened[task]
                continue
            opened.folder.check()
        if not self._opened:
            raise TaskError(
                f"{root} (got no task of {owner!r} for {purpose!r}; make one by label task create)"
            )
        self._of = owner, purpose

    @property
    def tasks(self) -> tuple[LabelTask, ...]:
        """The tasks that are served."""
        return tuple(each.task for each in self._opened.values())

    def enter(self, token: str) -> tuple[str, LabelSession]:
        """A session for whom an invitation names, and its secret.

        Raises:
            NotAdmittedError: The invitation is not valid.
            TaskOverError: The task is over.
        """
        now = self.clock()
        try:
            opened = self._open(token.partition(".")[0])
        except (TaskError, KeyError) as error:
            raise NotAdmittedError("the invitation is not valid, or its time is over") from error
        if (opened.task.owner, opened.task.purpose) != self._of:
            raise NotAdmittedError("the invitation is for a task that this server does not serve")
        person, ends_at = admitted(opened.folder, opened.task, token, now)
        opened.task.hold_open(now)
        role = part_of(opened.task, person) or ANNOTATOR
        secret, session = self.sessions.admit(person=person, role=role, task=opened.task.id, ends_at=ends_at)
        self._begun[session.number] = standing(opened.folder, person)
        opened.folder.record(person, "enter", {"session": session.number, "role": role})
        return secret, session

    def session(self, secret: str | None) -> LabelSession:
        """The session of a secret.

        Raises:
            NotAdmittedError: There is none, it has ended, or a newer invitation took its place.
        """
        session = self.sessions.of(secret)
        if standing(self._at(session).folder, session.person) != self._begun.get(session.number):
            self.sessions.end_of_person(session.task, session.person)
            raise NotAdmittedError("a newer invitation took the place of yours: enter with that one")
        return session

    def leave(self, secret: str, session: LabelSession) -> None:
        """End a session."""
        self.sessions.end(secret)
        self._at(session).folder.record(session.person, "leave", {"session": session.number})

    def hold(self, session: LabelSession) -> LabelTask:
        """Be sure that something of the task may be shown now.

        Raises:
            TaskOverError: The task was closed or its time is over.
            LabelReleaseEndedError: The gate refuses.
            GateSilentError: The gate cannot answer now.
        """
        opened = self._at(session)
        opened.task.hold_open(self.clock())
        opened.lease.hold()
        return opened.task

    def progress(self, session: LabelSession) -> list[dict[str, int]]:
        """Of each frame: its revision and how many labels are open, accepted and rejected.

        Raises:
            TaskOverError, LabelReleaseEndedError, GateSilentError: As ``hold``.
        """
        task, folder = self.hold(session), self._at(session).folder
        return [self._counts(folder, number) for number in range(len(task.frames))]

    def objects(self, session: LabelSession) -> list[dict[str, str]]:
        """The objects of the task: id and class.

        Raises:
            TaskOverError, LabelReleaseEndedError, GateSilentError: As ``hold``.
        """
        self.hold(session)
        return [{"id": o.id, "class": o.label_class} for o in objects_of(self._at(session).folder)]

    def frame(self, session: LabelSession, number: int) -> FrameView:
        """A frame with its labels, and a token for one view of its picture.

        Raises:
            NoSuchFrameError: The task has none of that number.
            TaskOverError, LabelReleaseEndedError, GateSilentError: As ``hold``.
        """
        frame = _frame(self.hold(session), number)
        last = self._at(session).folder.last(frame_document(number))
        return FrameView(
            number=number,
            frame=frame,
            labels=last.value["labels"] if last else [],
            revision=last.number if last else NONE_YET,
            token=self.sessions.token_for(session, number),
        )

    def picture(self, session: LabelSession, token: str) -> ShownPicture:
        """The picture that a token names, marked with person and time.

        Before the picture is read, the journal has the view on the disk and the gate's ledger has it, with the
        person, as a use; the gate decides on both.

        Raises:
            FrameTokenError: The token is not valid.
            TooManyViewsError: Too many pictures in a minute.
            TaskOverError, LabelReleaseEndedError, GateSilentError: As ``hold``.
            PictureError: It cannot be decoded.
            TamperedReleaseError: It is not what was signed.
        """
        opened = self._at(session)
        task = opened.task
        task.hold_open(self.clock())
        number = self.sessions.redeem(session, token)
        frame, now = _frame(task, number), self.clock()
        seen = {"frame": number, "item": frame.item, "sha256": frame.sha256, "session": session.number}
        opened.folder.record(session.person, "view", {**seen, "shown_at": now.isoformat()})
        used = {
            "act": "view",
            "task": task.id,
            "person": session.person,
            "frame": number,
            "sha256": frame.sha256,
        }
        with ending(task.release):
            self._client.report_use(UseKind.LABEL, [task.release], used)
            content = self._source.read(task.release, frame.item)
        return marked(content, person=session.person, task=task.id, at=now)

    def save(self, session: LabelSession, number: int, sent: Any, based_on: int) -> Revision | Conflict:
        """Keep an annotator's labels of a frame; durable when this returns a revision.

        What the gate says now does not matter here: nothing is shown, and no work is lost.

        Raises:
            NotPermittedError: The person does not label.
            NoSuchFrameError: There is no such frame.
            LabelError, LabelOntologyError: What was sent are no labels of the frame.
            TaskOverError: The task was closed or its time is over.
            LabelStoreError: It could not be kept.
        """
        editing.refuse_unless(session.role, ANNOTATOR)
        return self._keep(session, number, based_on, editing.edited, sent)

    def review(self, session: LabelSession, number: int, sent: Any, based_on: int) -> Revision | Conflict:
        """Keep a reviewer's verdicts on labels of a frame; durable when this returns a revision.

        Raises:
            NotPermittedError: The person does not review.
            NoSuchFrameError, LabelError, TaskOverError, LabelStoreError: As ``save``.
        """
        editing.refuse_unless(session.role, REVIEWER)
        return self._keep(session, number, based_on, editing.reviewed, sent)

    def add_object(self, session: LabelSession, label_class: str) -> str:
        """A new object of a class; returns its id.

        Raises:
            NotPermittedError: The person does not label.
            LabelOntologyError: There is no such class.
            TaskOverError, LabelStoreError: As ``save``.
        """
        editing.refuse_unless(session.role, ANNOTATOR)
        opened = self._at(session)
        opened.task.hold_open(self.clock())
        opened.task.ontology.class_of(label_class)

        def change(known: dict[str, str] | None) -> dict[str, str]:
            return {**(known or {}), str(max(map(int, known or ()), default=0) + 1): label_class}

        made = opened.folder.amend(OBJECTS, change, by=session.person)
        return str(list(made.value)[-1])

    def reclassify(self, session: LabelSession, object_id: str, label_class: str) -> None:
        """Give an object another class, in all its frames; attributes that the class lacks make it an error.

        Raises:
            NotPermittedError: The person does not label.
            LabelError, LabelOntologyError: There is no such object or class, or its labels do not fit the class.
            TaskOverError, LabelReleaseEndedError, GateSilentError, LabelStoreError: As ``hold`` and ``save``.
        """
        editing.refuse_unless(session.role, ANNOTATOR)
        self.hold(session)
        opened = self._at(session)
        if object_id not in {each.id for each in objects_of(opened.folder)}:
            raise LabelError(f"object (got {object_id!r}, expected one of the task)")
        opened.task.ontology.class_of(label_class)
        labels = label_set_of(opened.folder, opened.task)
        if object_id in labels.objects:
            labels.reclassified(object_id, label_class)
        opened.folder.amend(OBJECTS, lambda known: {**known, object_id: label_class}, by=session.person)

    def interpolate(self, session: LabelSession, object_id: str, kind: str) -> Interpolated:
        """Put labels of an object between its key labels, in every frame between them.

        Raises:
            NotPermittedError: The person does not label.
            LabelError: There is no such object, or it has fewer than two key labels in one sequence.
            TaskOverError, LabelReleaseEndedError, GateSilentError, LabelStoreError: As ``hold`` and ``save``.
        """
        editing.refuse_unless(session.role, ANNOTATOR)
        task, folder = self.hold(session), self._at(session).folder
        try:
            wanted = GeometryKind(kind)
        except ValueError as error:
            raise LabelError(
                f"kind (got {kind!r}, expected one of {[k.value for k in GeometryKind]})"
            ) from error
        based_on = {
            n: (folder.revisions(frame_document(n)) or (NONE_YET,))[-1] for n in range(len(task.frames))
        }
        before = label_set_of(folder, task)
        after = before.interpolated(object_id, wanted)
        saved: list[int] = []
        left: list[int] = []
        for number, frame in enumerate(task.frames):
            at = (frame.item, object_id, wanted)
            if after.labels.get(at) == before.labels.get(at):
                continue
            kept = _with(folder, number, after, at)
            done = folder.save(
                frame_document(number), {"labels": kept}, based_on=based_on[number], by=session.person
            )
            (left if isinstance(done, Conflict) else saved).append(number)
        return Interpolated(saved=tuple(saved), left=tuple(left))

    def _keep(
        self,
        session: LabelSession,
        number: int,
        based_on: int,
        change: Callable[..., list[dict[str, Any]]],
        sent: Any,
    ) -> Revision | Conflict:
        opened = self._at(session)
        task, folder = opened.task, opened.folder
        task.hold_open(self.clock())
        frame = _frame(task, number)
        numbers = folder.revisions(frame_document(number))
        if based_on != NONE_YET and based_on not in numbers:
            raise LabelError(f"revision (got {based_on}, expected one of the frame's {len(numbers)})")
        before = folder.revision(frame_document(number), based_on).value["labels"] if based_on else []
        labels = editing.hold_against_ontology(
            change(before, sent, frame=frame, person=session.person),
            frame=frame,
            objects=objects_of(folder),
            ontology=task.ontology,
            lineage=task.lineage(),
        )
        facts = {"frame": number, "labels": len(labels), "session": session.number}
        return folder.save(
            frame_document(number), {"labels": labels}, based_on=based_on, by=session.person, facts=facts
        )

    def _counts(self, folder: TaskFolder, number: int) -> dict[str, int]:
        """Counts of a frame; each revision is opened once."""
        document = frame_document(number)
        revision = (folder.revisions(document) or (NONE_YET,))[-1]
        known = self._counted.get((folder.task, number))
        if known is None or known["revision"] != revision:
            labels = folder.revision(document, revision).value["labels"] if revision else []
            of = {each.value: sum(v["review"] == each.value for v in labels) for each in ReviewState}
            known = self._counted[folder.task, number] = {"revision": revision, "labels": len(labels), **of}
        return known

    def _at(self, session: LabelSession) -> _Opened:
        return self._open(session.task)

    def _open(self, task: str) -> _Opened:
        """A task as it is now: whoever closes it is another process."""
        with self._lock:
            opened = self._opened.get(task)
            folder = opened.folder if opened else TaskFolder(self._root, task, self._key)
            if opened is None:
                made = open_task(folder)
                lease = ReleaseLease(self._client, made.release, made.frames[0].item, every_s=self._lease_s)
                opened = _Opened(folder=folder, task=made, revision=NONE_YET, lease=lease)
                self._opened[task] = opened
            revision = (folder.revisions(TASK) or (NONE_YET,))[-1]
            if revision != opened.revision:
                opened.task, opened.revision = open_task(folder), revision
            return opened


def _frame(task: LabelTask, number: int) -> LabelledFrame:
    if not 0 <= number < len(task.frames):
        raise NoSuchFrameError(
            f"frame (got {number}, expected 0 to {len(task.frames) - 1} of task {task.id})"
        )
    return task.frames[number]


def _with(
    folder: TaskFolder, number: int, after: LabelSet, at: tuple[str, str, GeometryKind]
) -> list[dict[str, Any]]:
    last = folder.last(frame_document(number))
    kept = list(last.value["labels"]) if last else []
    others = [v for v in kept if (v["object"], v["geometry"]["kind"]) != (at[1], at[2].value)]
    return [*others, {**editing.kept_label(after.labels[at]), "reason": None}]
