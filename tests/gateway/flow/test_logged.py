"""Rule 28: no gate opens over a ledger whose entries could hold content."""

from dataclasses import dataclass
from pathlib import Path

import pytest

import audit.leaf
from audit.events import Event
from gateway.errors import DeniedError
from simulators import House


@dataclass(frozen=True, slots=True, kw_only=True)
class TalkativeEvent(Event):
    """An event with a note, as somebody might add one."""

    note: str | None = None


def test_a_field_that_policy_did_not_admit_keeps_the_gate_shut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = House(home=tmp_path / "home")
    with house.opened() as gate:
        size = gate.ledger.size
    with monkeypatch.context() as patched:
        patched.setattr(audit.leaf, "Event", TalkativeEvent)
        with pytest.raises(DeniedError, match="log: entries_without_content") as caught, house.opened():
            pass
    (violation,) = caught.value.decision.violations
    assert violation.number == "28"
    assert {"field": {"kind": "token", "name": "note"}} in [dict(fact) for fact in violation.facts]
    with house.opened() as gate:
        assert gate.ledger.size >= size
