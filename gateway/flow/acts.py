"""Write ahead (law 2): the intent is durable before the effect, the completion follows it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from audit.events import Event, EventType, Outcome
from gateway.database import WriteSession

if TYPE_CHECKING:
    from gateway.flow.gate import Gate


def intended(event_type: EventType, *, actor: str, object_id: str, **fields: Any) -> Event:
    """An intent event; ``fields`` are the optional fields of ``audit.events.Event``."""
    return Event(type=event_type, outcome=Outcome.INTENT, actor=actor, object=object_id, **fields)


@contextmanager
def recorded(
    gate: "Gate",
    event_type: EventType,
    *,
    actor: str,
    object_id: str,
    facts: Mapping[str, str | int | bool] | None = None,
    **fields: Any,
) -> Iterator[WriteSession]:
    """One transaction between an intent and its completion; an exception leaves a failed entry and no effect."""
    with gate.ledger.intent(intended(event_type, actor=actor, object_id=object_id, **fields)) as intent:
        with gate.database.transaction() as session:
            yield session
        intent.complete(facts=facts or {})


def refused(
    gate: "Gate", event_type: EventType, *, actor: str, object_id: str, reason: str, **fields: Any
) -> None:
    """Record an attempt that was refused before it had any effect."""
    gate.ledger.append(
        Event(
            type=event_type,
            outcome=Outcome.REFUSED,
            actor=actor,
            object=object_id,
            facts={"reason": reason},
            **fields,
        )
    )
