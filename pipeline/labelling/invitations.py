"""Invitations: how a person of a task gets in. The folder holds a digest of the secret, never the secret."""

import hmac
import secrets
from datetime import datetime
from hashlib import sha256

from pipeline.labelling.errors import NotAdmittedError, TaskError
from pipeline.labelling.sessions import ANNOTATOR, REVIEWER
from pipeline.labelling.store import TaskFolder
from pipeline.labelling.task import LabelTask


def part_of(task: LabelTask, person: str) -> str | None:
    """What a person does in a task, or None."""
    return ANNOTATOR if person in task.annotators else REVIEWER if person in task.reviewers else None


def invite(folder: TaskFolder, task: LabelTask, person: str, *, ends_at: datetime, now: datetime) -> str:
    """An invitation for a person; it takes the place of their last one, whose sessions end.

    Args:
        folder: Of the task.
        task: The task.
        person: Annotator or reviewer of it.
        ends_at: When it ends; at most when the task does.
        now: The time.

    Returns:
        The token, which is nowhere kept.

    Raises:
        TaskError: The person is none of the task, or the end is past or after the task's.
        TaskOverError: The task is over.
    """
    task.hold_open(now)
    if part_of(task, person) is None:
        raise TaskError(f"person (got {person!r}, expected one of {[*task.annotators, *task.reviewers]})")
    if not now < ends_at <= task.expires_at:
        raise TaskError(
            f"end of the invitation (got {ends_at.isoformat()}, expected after now and at most "
            f"{task.expires_at.isoformat()})"
        )
    secret = secrets.token_urlsafe(32)
    value = {"sha256": sha256(secret.encode()).hexdigest(), "ends_at": ends_at.isoformat()}
    folder.amend(_document(person), lambda _: value, by=task.owner)
    return f"{task.id}.{secret}"


def admitted(folder: TaskFolder, task: LabelTask, token: str, now: datetime) -> tuple[str, datetime]:
    """The person whom a token invites, and until when.

    Raises:
        NotAdmittedError: It invites nobody, or has ended.
    """
    digest = sha256(token.partition(".")[2].encode()).hexdigest()
    for person in (*task.annotators, *task.reviewers):
        last = folder.last(_document(person))
        if last is None or not hmac.compare_digest(str(last.value["sha256"]), digest):
            continue
        ends_at = datetime.fromisoformat(last.value["ends_at"])
        if now < ends_at:
            return person, ends_at
    raise NotAdmittedError("the invitation is not valid, or its time is over")


def standing(folder: TaskFolder, person: str) -> int:
    """Number of a person's last invitation; a session begun under an earlier one has ended."""
    return (folder.revisions(_document(person)) or (0,))[-1]


def _document(person: str) -> str:
    return f"invitation:{person}"
