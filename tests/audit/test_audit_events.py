"""Events and leaves: a closed vocabulary, and RFC 8785 bytes (rule 28: ids and digests, never content)."""

import dataclasses
import json
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from audit.canonical import canonical_bytes, parse_canonical
from audit.errors import InvalidEventError, VerificationError
from audit.events import Event, EventType, Outcome
from audit.leaf import decode_leaf, encode_leaf, format_time, parse_time

TIME = "2026-11-21T01:02:03.000004Z"
REFUSED = {
    "actor empty": {"actor": ""},
    "actor with space": {"actor": "Zhang San"},
    "actor not ascii": {"actor": "王小明"},
    "object too long": {"object": "x" * 201},
    "object with newline": {"object": "a\nb"},
    "object with quote": {"object": 'a"b'},
    "item not text": {"item": 7},
    "purpose empty": {"purpose": ""},
    "type unknown": {"type": "serve:item:read"},
    "outcome unknown": {"outcome": "done"},
    "digest upper case": {"digests": {"content": "AB" * 32}},
    "digest too short": {"digests": {"content": "ab"}},
    "digest name": {"digests": {"Content": "ab" * 32}},
    "fact float": {"facts": {"score": 0.5}},
    "fact nan": {"facts": {"score": math.nan}},
    "fact none": {"facts": {"score": None}},
    "fact list": {"facts": {"score": [1]}},
    "fact huge": {"facts": {"bytes": 2**53}},
    "fact text": {"facts": {"note": "seen at the corner of"}},
    "fact name": {"facts": {"a b": 1}},
    "intent negative": {"intent": -1},
    "intent boolean": {"intent": True},
    "intent settles": {"intent": 3, "outcome": Outcome.INTENT},
    "too many facts": {"facts": {f"f{number}": number for number in range(65)}},
}

tokens = st.from_regex(re.compile(r"[A-Za-z0-9_.:/@+=,*#~%()\[\]-]{1,40}", re.ASCII), fullmatch=True)
names = st.from_regex(re.compile(r"[a-z][a-z0-9_]{0,12}", re.ASCII), fullmatch=True)
events = st.builds(
    Event,
    type=st.sampled_from(EventType),
    outcome=st.sampled_from([Outcome.COMPLETED, Outcome.REFUSED, Outcome.FAILED]),
    actor=tokens,
    object=tokens,
    item=st.none() | tokens,
    rule=st.none() | tokens,
    intent=st.none() | st.integers(0, 2**53 - 1),
    digests=st.dictionaries(names, st.binary(min_size=16, max_size=64).map(bytes.hex), max_size=4),
    facts=st.dictionaries(names, tokens | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1), max_size=6),
)


@pytest.mark.parametrize("changes", REFUSED.values(), ids=REFUSED)
def test_values_outside_the_vocabulary_are_refused(
    make_event: Callable[..., Event], changes: dict[str, object]
) -> None:
    with pytest.raises(InvalidEventError) as caught:
        make_event(**changes)
    ((_, value), *_) = changes.items()
    if isinstance(value, dict) and len(value) == 1:
        ((name, value),) = value.items()
        assert (
            repr(value) in str(caught.value) or str(value) in str(caught.value) or name in str(caught.value)
        )


def test_events_cannot_be_changed(make_event: Callable[..., Event]) -> None:
    facts = {"bytes": 1}
    event = make_event(facts=facts)
    facts["bytes"] = 2
    assert event.facts["bytes"] == 1
    with pytest.raises(TypeError):
        event.facts["bytes"] = 3
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.actor = "other"


def test_every_type_is_area_subject_action() -> None:
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*:[a-z]+:[a-z]+", kind) for kind in EventType)


@given(event=events, index=st.integers(0, 2**53 - 1))
def test_leaves_are_rfc_8785_bytes_and_say_the_event(event: Event, index: int) -> None:
    leaf = encode_leaf(event, index=index, time=TIME, detail=None)
    assert leaf == rfc8785.dumps(json.loads(leaf))
    entry = decode_leaf(leaf, index)
    assert entry.event == event
    assert format_time(entry.time) == TIME


def altered(**changes: object) -> bytes:
    record = json.loads(
        encode_leaf(
            Event(type=EventType.SERVE_ITEM_READ, outcome=Outcome.COMPLETED, actor="a", object="b"),
            index=4,
            time=TIME,
            detail=None,
        )
    )
    return canonical_bytes({name: value for name, value in {**record, **changes}.items() if value is not ...})


BAD_LEAVES = {
    "other index": altered(index=5),
    "other version": altered(v=2),
    "unknown field": altered(name="Zhang"),
    "missing actor": altered(actor=...),
    "unknown type": altered(type="serve:item:write"),
    "empty facts": altered(facts={}),
    "null item": altered(item=None),
    "short time": altered(time="2026-11-21T01:02:03Z"),
    "not canonical": altered().replace(b":", b": ", 1),
    "float": b'{"v":1.5}',
    "array": b"[]",
    "deep": b"[" * 100_000,
    "not utf-8": b"\xff",
    "empty": b"",
}


@pytest.mark.parametrize("leaf", BAD_LEAVES.values(), ids=BAD_LEAVES)
def test_malformed_leaves_are_refused(leaf: bytes) -> None:
    assert decode_leaf(altered(), 4).index == 4
    with pytest.raises(VerificationError, match="entry 4: leaf is malformed"):
        decode_leaf(leaf, 4)


@pytest.mark.parametrize(
    "text", [b'{"b":1,"a":2}', b'{"a": 1}', b'{"a":1,"a":1}', b'{"a":1e0}', b'{"a":NaN}', b"1"]
)
def test_other_forms_of_json_are_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"canonical|number|object"):
        parse_canonical(text)


def test_times_are_utc_with_microseconds() -> None:
    moment = datetime(2026, 11, 21, 9, 2, 3, 4, tzinfo=timezone(timedelta(hours=8)))
    assert format_time(moment) == TIME
    assert parse_time(TIME) == moment.astimezone(UTC)
    with pytest.raises(ValueError, match="zone"):
        format_time(datetime(2026, 1, 1))  # noqa: DTZ001 - what is refused
