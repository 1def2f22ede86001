"""Rule 28: every kind that the form of an entry promises is one that can hold no content."""

from typing import Any

import pytest

from audit.errors import InvalidEventError
from audit.events import Event, EventType, Outcome
from audit.leaf import entry_fields

CONTENT = (
    "张三 lives here",
    "two words",
    "line\nbreak",
    "沪A12345",
    "{}" * 150,
    "a" * 201,
    "",
    b"bytes",
    1.5,
    ["x"],
)
BASE: dict[str, Any] = {
    "type": EventType.SYSTEM_GATEWAY_INIT,
    "outcome": Outcome.COMPLETED,
    "actor": "a",
    "object": "b",
}
WRAPPED = {"digests": lambda value: {"name": value}, "facts": lambda value: {"name": value}}


def test_every_field_is_of_a_kind_that_is_told() -> None:
    assert set(entry_fields().values()) == {
        "digest", "digests", "facts", "instant", "integer", "token", "word",
    }  # fmt: skip


@pytest.mark.parametrize("field", sorted(entry_fields().keys() - {"v", "index", "time", "detail"}))
@pytest.mark.parametrize("content", CONTENT, ids=repr)
def test_no_field_of_an_event_takes_content(field: str, content: object) -> None:
    value = WRAPPED.get(entry_fields()[field], lambda each: each)(content)
    with pytest.raises(InvalidEventError):
        Event(**{**BASE, field: value})


@pytest.mark.parametrize("field", ["digests", "facts"])
def test_no_name_of_a_fact_takes_content(field: str) -> None:
    """What is in the name of a digest or fact is as legible as its value."""
    for name in ("张三", "two words", "UPPER", "a" * 65, ""):
        with pytest.raises(InvalidEventError):
            Event(**{**BASE, field: {name: "0" * 64}})
