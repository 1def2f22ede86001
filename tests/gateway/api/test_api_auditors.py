"""Auditors over HTTP: entries, checkpoint, export; looking is itself an entry."""

import io
import json

import pytest

from audit.checkpoint import verify_checkpoint
from audit.events import EventType, Outcome
from audit.verify import BadExportError, verify_export

PREFIX = "/auditors/v1/ledger"


def look(served, path, who="auditor"):
    return served.call(who, "GET", PREFIX + path)


def leaves(answer):
    return [json.loads(entry["leaf"]) for entry in answer.json()["entries"]]


def test_entries_page_from_the_newest_without_gap_or_repetition(served):
    size = served.gate.ledger.size
    found, cursor = [], None
    while True:
        after = f"&after={cursor}" if cursor is not None else ""
        answer = look(served, f"/entries?limit=40{after}").json()
        found += [entry["index"] for entry in answer["entries"]]
        cursor = answer["cursor"]
        if cursor is None:
            break
    assert found == sorted(found, reverse=True)
    assert found[-size:] == list(range(size - 1, -1, -1))


FILTERS = {
    "release": ("release={release}", "release"),
    "purpose": ("purpose=perception-training", "purpose"),
    "vehicle": ("vehicle=vehicle-01", "vehicle"),
    "actor": ("actor=submitter", "actor"),
    "outcome": ("outcome=intent", "outcome"),
}


@pytest.mark.parametrize("name", FILTERS)
def test_filter_returns_what_matches_and_only_that(served, name):
    query, field = FILTERS[name]
    value = query.format(release=served.release).partition("=")[2]
    entries = leaves(look(served, f"/entries?limit=1000&{query.format(release=served.release)}"))
    expected = sum(1 for e in served.gate.ledger.entries() if getattr(e.event, field) == value)
    assert entries
    assert all(value in json.dumps(e) for e in entries)
    assert len(entries) in (expected, expected - 1)


def test_types_combine(served):
    types = ("serve:list:read", "judge:intake:decide")
    entries = leaves(look(served, "/entries?" + "&".join(f"type={t}" for t in types)))
    assert entries
    assert all(any(t in json.dumps(e) for t in types) for e in entries)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("outcome=maybe", "outcome"),
        ("type=anything", "type"),
        ("limit=0", "limit"),
        ("limit=100000", "limit"),
        ("since=2026-01-01T00:00:00", "zone"),
        ("since=yesterday", "since"),
        ("after=x", "after"),
    ],
)
def test_bad_filter_is_named(served, is_problem, query, said):
    document = is_problem(look(served, f"/entries?{query}"), 422, "invalid_request")
    assert said in document["detail"]


def test_checkpoint_verifies_under_the_ledger_s_key(served):
    note = look(served, "/checkpoint").text
    checkpoint = verify_checkpoint(note, served.gate.ledger.signer.vkey)
    assert checkpoint.size <= served.gate.ledger.size
    assert checkpoint.origin == served.gate.settings.origin


def test_export_verifies_offline_and_an_altered_one_does_not(served):
    answer = look(served, "/export")
    assert answer.headers["content-type"].startswith("application/jsonl")
    vkey = served.gate.ledger.signer.vkey
    verified = verify_export(io.BytesIO(answer.content), vkey)
    assert verified.complete
    assert verified.count == verified.size
    lines = answer.content.splitlines(keepends=True)
    with pytest.raises(BadExportError):
        verify_export(io.BytesIO(b"".join(lines[:5] + lines[6:])), vkey)


ACTS = {
    "/entries": EventType.AUDIT_LEDGER_QUERY,
    "/checkpoint": EventType.AUDIT_LEDGER_CHECKPOINT,
    "/export": EventType.AUDIT_LEDGER_EXPORT,
}


@pytest.mark.parametrize("path", ACTS)
def test_looking_is_itself_an_entry(served, path):
    before = served.gate.ledger.size
    assert look(served, path, who="officer").status_code == 200
    acts = [e.event for e in served.gate.ledger.entries(before) if e.event.type is ACTS[path]]
    assert [(a.actor, a.outcome) for a in acts] == [
        ("officer", Outcome.INTENT),
        ("officer", Outcome.COMPLETED),
    ]


@pytest.mark.parametrize("path", ACTS)
def test_nobody_else_looks(served, is_problem, path):
    for person in ("engineer", "submitter", "admin"):
        is_problem(look(served, path, who=person), 403, "forbidden")
