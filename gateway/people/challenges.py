"""Challenges that a person's security key may answer: each once, within the time that policy data names."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from audit.events import EventType
from audit.verify_assertion import challenge_of
from gateway.errors import InvalidRequestError, SecurityKeysOffError
from gateway.flow.acts import recorded
from gateway.flow.gate import Gate
from gateway.flow.law import challenge_seconds
from gateway.people.records import ChallengeRow
from gateway.people.registry import Actor

REGISTRATION: Final = "registration"
_NONCE_BYTES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the settings let security keys be used."""

    rp_id: str
    origins: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """A challenge, and how long it may be answered."""

    challenge: bytes
    text: str
    expires_at: datetime
    seconds: int


def place_of(gate: Gate) -> Place:
    """The place that the settings name.

    Raises:
        SecurityKeysOffError: They name none.
    """
    settings = gate.settings
    if settings.webauthn_rp_id is None or not settings.webauthn_origins:
        raise SecurityKeysOffError(
            "no security key is taken (set FLEETGATE_WEBAUTHN_RP_ID and FLEETGATE_WEBAUTHN_ORIGINS)"
        )
    return Place(rp_id=settings.webauthn_rp_id, origins=settings.webauthn_origins)


def issue_challenge(gate: Gate, subject: str, text: str | None, *, actor: Actor) -> Challenge:
    """Make a challenge for one person and one subject; the one before for the same is withdrawn.

    Args:
        gate: The gate.
        subject: Id of the release, or ``REGISTRATION``.
        text: What an answer approves; the challenge is its SHA-256. None for a random challenge.
        actor: Who may answer.
    """
    challenge = secrets.token_bytes(_NONCE_BYTES) if text is None else challenge_of(text)
    seconds = challenge_seconds(gate)
    now = gate.clock()
    expires = now + timedelta(seconds=seconds)
    with recorded(
        gate,
        EventType.PEOPLE_CHALLENGE_ISSUE,
        actor=actor.id,
        object_id=subject,
        digests={**actor.digests, "challenge": challenge.hex()},
    ) as session:
        over = sa.and_(ChallengeRow.person_id == actor.id, ChallengeRow.subject == subject)
        session.execute(sa.delete(ChallengeRow).where(sa.or_(over, ChallengeRow.expires_at <= now)))
        session.add(
            ChallengeRow(
                digest=challenge.hex(),
                person_id=actor.id,
                subject=subject,
                text=text or "",
                expires_at=expires,
            )
        )
    return Challenge(challenge=challenge, text=text or "", expires_at=expires, seconds=seconds)


def spend_challenge(gate: Gate, challenge: bytes, subject: str, *, actor: Actor) -> str:
    """Take a challenge out of use, whatever comes of the answer, and return the text that it stands for.

    Raises:
        InvalidRequestError: There is none that this person may still answer for this subject.
    """
    with recorded(
        gate,
        EventType.PEOPLE_CHALLENGE_SPEND,
        actor=actor.id,
        object_id=subject,
        digests={
            **actor.digests,
            **({"challenge": challenge.hex()} if len(challenge) == _NONCE_BYTES else {}),
        },
    ) as session:
        statement = (
            sa.delete(ChallengeRow)
            .where(
                ChallengeRow.digest == challenge.hex(),
                ChallengeRow.person_id == actor.id,
                ChallengeRow.subject == subject,
                ChallengeRow.expires_at > gate.clock(),
            )
            .returning(ChallengeRow.text)
        )
        text = session.execute(statement).scalar_one_or_none()
        if text is None:
            raise InvalidRequestError(
                f"no such challenge, or it was answered or is over (got {challenge.hex()[:64]})"
            )
    return str(text)
