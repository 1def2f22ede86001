"""Policy is asked before each act of a person (point ``act``): who may do what, and what excludes what.

Roles and separation of duties are rules and dated data of the policy bundle (``policies/data/acts.yaml``); no role
is named here. Every answer is an entry, with what was asked kept beside it.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from audit.events import EventType
from gateway.database import ReadSession, WriteSession
from gateway.errors import ActDeniedError, DeniedError
from gateway.flow.deciding import decide, instant, policy_facts, profile_facts
from gateway.flow.gate import Gate
from gateway.people.records import PersonRow

if TYPE_CHECKING:
    from gateway.people.registry import Actor

_NAME = re.compile(r"[A-Za-z0-9_.:@-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """Who did an act on an object before, with the roles that they hold now."""

    act: str
    person: str
    roles: tuple[str, ...]


def done_by(session: ReadSession | WriteSession, act: str, person: str) -> Done:
    """An act that a person did, as policy is told of it; somebody no longer enrolled holds no roles."""
    row = session.get(PersonRow, person)
    return Done(act=act, person=person, roles=tuple(row.roles) if row else ())


def permit(
    gate: Gate,
    actor: "Actor",
    act: str,
    *,
    on: str | None = None,
    exists: bool = True,
    done: Sequence[Done] = (),
    break_glass: Mapping[str, Any] | None = None,
    **fields: Any,
) -> "Actor":
    """Let a person act if policy allows; asked before anything is looked at or done.

    What policy is told of the person is read from the roster now, not from what proved their identity.

    Args:
        gate: The gate.
        actor: Who would act.
        act: Name of the act, as ``acts.permitted_roles`` lists it.
        on: Id of what is acted on; the act's own name where it is on nothing in particular.
        exists: Whether that is there: on nothing nobody is excluded, and the act then finds nothing.
        done: Acts on it that exclude this one, or that this one needs.
        break_glass: The break-glass that the act is about or rests on (rule 30).
        fields: Ids for the entry, as ``audit.events.Event`` names them.

    Returns:
        The actor.

    Raises:
        ActDeniedError: Policy refuses, with rule, clause and fact; the attempt is in the ledger.
        EngineError: The engine gave no well-formed decision; the act must not take place.
    """
    named = named_object(act if on is None else on)
    with gate.database.read() as session:
        row = session.get(PersonRow, actor.id)
    question = {
        "point": "act",
        "subject": {
            "id": actor.id,
            "roles": list(row.roles) if row else list(actor.roles),
            "nationality": row.nationality if row else actor.nationality or "ZZ",
            "entity_country": row.entity_country if row else actor.entity_country or "ZZ",
            "enrolled": row is not None,
            "suspended": row is None or row.suspended_at is not None,
        },
        "action": {"name": act},
        "resource": {
            "id": named,
            "exists": exists,
            "done": [{"act": d.act, "person": d.person, "roles": list(d.roles)} for d in done],
        },
        "context": {
            "time": instant(gate.clock()),
            "network_zone": gate.settings.network_zone,
            "country_of_session": gate.settings.country,
            "break_glass": None if break_glass is None else dict(break_glass),
            "profile": profile_facts(gate),
            "policy": policy_facts(gate),
        },
    }
    try:
        decide(
            gate,
            EventType.JUDGE_ACT_DECIDE,
            question,
            actor=actor,
            object_id=named,
            digests=actor.digests,
            facts={"act": act},
            **fields,
        )
    except DeniedError as error:
        raise ActDeniedError(error.decision, act=act, actor=actor.id, entry=error.entry) from error
    return actor


def named_object(on: str) -> str:
    """The id of what is acted on; a digest stands for one that is no id of the gate's, which may hold content."""
    return on if _NAME.fullmatch(on) else hashlib.sha256(on.encode()).hexdigest()
