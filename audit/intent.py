"""Write ahead: an intent is durable before the effect, what became of it follows (law 2)."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from audit.batch import Receipt
from audit.errors import InvalidEventError
from audit.events import Event, Outcome

NOT_SETTLED = "NotSettled"
"""The ``error`` fact of an intent whose block was left without a word."""

Append = Callable[[Event], Receipt]


class Intent:
    """A durable intent that waits to be settled, exactly once.

    Args:
        append: Appends the settling event.
        event: The intent's event.
        index: The intent's index in the ledger.
    """

    __slots__ = ("_append", "_event", "_settled", "index")

    def __init__(self, append: Append, event: Event, index: int) -> None:
        self._append = append
        self._event = event
        self._settled = False
        self.index = index

    @property
    def settled(self) -> bool:
        """Whether an outcome was appended or attempted."""
        return self._settled

    def complete(
        self,
        *,
        digests: Mapping[str, str] | None = None,
        facts: Mapping[str, str | int | bool] | None = None,
    ) -> Receipt:
        """Append that the effect took place, with the digests it rests on.

        Raises:
            InvalidEventError: if the intent is settled already, or a value is outside the vocabulary.
            LedgerUnavailableError: if the append was not acknowledged.
        """
        return self._settle(Outcome.COMPLETED, self._event.rule, digests, facts)

    def refuse(
        self,
        *,
        rule: str | None = None,
        digests: Mapping[str, str] | None = None,
        facts: Mapping[str, str | int | bool] | None = None,
    ) -> Receipt:
        """Append that the act was refused, by which rule and on what facts; raises as ``complete``."""
        return self._settle(Outcome.REFUSED, rule or self._event.rule, digests, facts)

    def fail(self, error: str) -> Receipt:
        """Append that the act failed with an error of this class name; raises as ``complete``."""
        return self._settle(Outcome.FAILED, self._event.rule, None, {"error": error})

    def _settle(
        self,
        outcome: Outcome,
        rule: str | None,
        digests: Mapping[str, str] | None,
        facts: Mapping[str, str | int | bool] | None,
    ) -> Receipt:
        if self._settled:
            raise InvalidEventError(f"intent {self.index} is settled already (got {outcome.value})")
        settling = replace(
            self._event,
            outcome=outcome,
            rule=rule,
            intent=self.index,
            digests=digests or {},
            facts=facts or {},
        )
        self._settled = True
        return self._append(settling)
