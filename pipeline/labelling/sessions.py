"""Who is at the label server, and for which picture they hold a token. In memory: a restart ends all of it."""

import secrets
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from threading import Lock
from typing import Final

from pipeline.labelling.errors import FrameTokenError, NotAdmittedError, TooManyViewsError

SESSION: Final = timedelta(hours=8)
IDLE: Final = timedelta(minutes=30)
FRAME_TOKEN: Final = timedelta(seconds=60)
VIEWS_PER_MINUTE: Final = 60

ANNOTATOR: Final = "annotator"
REVIEWER: Final = "reviewer"


@dataclass(slots=True, kw_only=True)
class LabelSession:
    """A person at work on a task.

    Attributes:
        number: Names it in the journal; not its secret.
        person: Who.
        role: ``annotator`` or ``reviewer``.
        task: Id of the task.
        ends_at: When it ends whatever happens.
        seen_at: When it was last used.
    """

    number: str
    person: str
    role: str
    task: str
    ends_at: datetime
    seen_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class _FrameToken:
    session: str
    frame: int
    ends_at: datetime


class Sessions:
    """Sessions and tokens of pictures; secrets are held as digests."""

    def __init__(self, clock: Callable[[], datetime], *, views_per_minute: int = VIEWS_PER_MINUTE) -> None:
        """Begin without anybody."""
        self._clock = clock
        self._views_per_minute = views_per_minute
        self._sessions: dict[str, LabelSession] = {}
        self._tokens: dict[str, _FrameToken] = {}
        self._views: defaultdict[tuple[str, str], deque[datetime]] = defaultdict(deque)
        self._lock = Lock()

    def admit(self, *, person: str, role: str, task: str, ends_at: datetime) -> tuple[str, LabelSession]:
        """A session and its secret; it ends after 8 hours, after 30 idle minutes, and at ``ends_at``."""
        now, secret = self._clock(), secrets.token_urlsafe(32)
        session = LabelSession(
            number=secrets.token_hex(8),
            person=person,
            role=role,
            task=task,
            ends_at=min(ends_at, now + SESSION),
            seen_at=now,
        )
        with self._lock:
            self._sweep(now)
            self._sessions[_digest(secret)] = session
        return secret, session

    def of(self, secret: str | None) -> LabelSession:
        """The session of a secret.

        Raises:
            NotAdmittedError: There is none, or it has ended.
        """
        now = self._clock()
        with self._lock:
            session = self._sessions.get(_digest(secret)) if secret else None
            if session is None or now >= session.ends_at or now - session.seen_at >= IDLE:
                raise NotAdmittedError("no session, or it has ended: enter again with your invitation")
            session.seen_at = now
            return session

    def end(self, secret: str) -> None:
        """End a session."""
        with self._lock:
            self._sessions.pop(_digest(secret), None)

    def end_of_person(self, task: str, person: str) -> None:
        """End all sessions of a person on a task."""
        with self._lock:
            gone = [key for key, s in self._sessions.items() if (s.task, s.person) == (task, person)]
            for key in gone:
                del self._sessions[key]

    def token_for(self, session: LabelSession, frame: int) -> str:
        """A token for one view of one frame within a minute, by that session only."""
        token, now = secrets.token_urlsafe(24), self._clock()
        with self._lock:
            self._tokens = {each: t for each, t in self._tokens.items() if now < t.ends_at}
            self._tokens[_digest(token)] = _FrameToken(
                session=session.number, frame=frame, ends_at=now + FRAME_TOKEN
            )
        return token

    def redeem(self, session: LabelSession, token: str) -> int:
        """The frame that a token shows; it shows it once.

        Raises:
            FrameTokenError: It is unknown, was used, has expired or is another session's.
            TooManyViewsError: The person asked for too many pictures in the last minute.
        """
        now = self._clock()
        with self._lock:
            found = self._tokens.get(_digest(token))
            if found is None or now >= found.ends_at or found.session != session.number:
                raise FrameTokenError(
                    "token of the picture (expected one of this session, unused, under a minute old)"
                )
            recent = self._views[session.task, session.person]
            while recent and now - recent[0] >= timedelta(minutes=1):
                recent.popleft()
            if len(recent) >= self._views_per_minute:
                raise TooManyViewsError(
                    f"pictures in a minute (got more than {self._views_per_minute}): wait a moment and go on"
                )
            recent.append(now)
            del self._tokens[_digest(token)]
            return found.frame

    def _sweep(self, now: datetime) -> None:
        self._sessions = {key: s for key, s in self._sessions.items() if now < s.ends_at}


def _digest(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()
