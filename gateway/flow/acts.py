"""Write ahead (law 2): the intent is durable before the effect, the completion follows it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from audit.events import Event, EventType, Outcome
from gateway.database import WriteSession

if TYPE_CHECKING:
    from gateway.flow.gate import Gate

_TOKEN_LENGTH: Final = 200
_RULES: Final = re.compile(r"rules(_[0-9]+)?")


@dataclass(slots=True, kw_only=True)
class Attempt:
    """What the request at hand has left in the ledger; the threads that carry it share one.

    Attributes:
        entered: Whether any entry tells of it.
        begun: Whether an intent does, so that it may have had an effect.
    """

    entered: bool = False
    begun: bool = False


_attempt: ContextVar[Attempt | None] = ContextVar("attempt", default=None)


@contextmanager
def attempted() -> Iterator[Attempt]:
    """Watch what entries the block leaves, in this thread and in those that run in copies of its context."""
    attempt = Attempt()
    token = _attempt.set(attempt)
    try:
        yield attempt
    finally:
        _attempt.reset(token)


def entered(*, begun: bool = False) -> None:
    """Note that an entry tells of the request at hand."""
    attempt = _attempt.get()
    if attempt is not None:
        attempt.entered = True
        attempt.begun = attempt.begun or begun


def intended(event_type: EventType, *, actor: str, object_id: str, **fields: Any) -> Event:
    """An intent event; ``fields`` are the optional fields of ``audit.events.Event``."""
    entered(begun=True)
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
    entered()


def rule_facts(rules: Sequence[str]) -> dict[str, str]:
    """Every violated rule as facts ``rules``, ``rules_2``, …: a fact of the ledger holds 200 characters.

    :func:`rules_of` reads them.
    """
    tokens: list[str] = []
    for rule in rules:
        if tokens and len(tokens[-1]) + 1 + len(rule) <= _TOKEN_LENGTH:
            tokens[-1] += f",{rule}"
        else:
            tokens.append(rule)
    return {"rules" if n == 1 else f"rules_{n}": token for n, token in enumerate(tokens, start=1)}


def rules_of(event: Event) -> frozenset[str]:
    """Every rule that an entry of a decision names as violated."""
    listed = [str(value) for name, value in event.facts.items() if _RULES.fullmatch(name)]
    return frozenset({event.rule or "", *(rule for token in listed for rule in token.split(","))} - {""})
