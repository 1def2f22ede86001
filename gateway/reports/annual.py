"""The annual report on automobile data (若干规定 13, 14): what the gate knows, and what it asks.

What a gate cannot know, such as complaints, is a field for the person in charge; an answer is never made up.
"""

from collections import Counter
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from audit.events import EventType, Outcome
from gateway.errors import InvalidRequestError
from gateway.flow.law import parameter
from gateway.reports.provisions import counts, provisions
from gateway.reports.refusals import deletions, exports
from gateway.reports.twin import CHINA, Found, Scope

_LONGEST = 4000


@cache
def form() -> Mapping[str, Any]:
    """The items of the report, with clause, confidence and the fields that are asked for."""
    read: Mapping[str, Any] = yaml.safe_load(
        files("gateway.reports").joinpath("annual.yaml").read_text("utf-8")
    )
    return read


def read_answers(path: Path) -> dict[str, str]:
    """Answers of the person in charge: a YAML mapping of the form's fields to text.

    Raises:
        InvalidRequestError: It is no such mapping, or names a field that the form does not have.
        OSError: It cannot be read.
    """
    try:
        told = yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidRequestError(f"{path.name} is no YAML: {error}") from error
    known = {name for item in form()["items"] for name in item["ask"]}
    if not isinstance(told, dict):
        raise InvalidRequestError(f"{path.name} (got {type(told).__name__}, expected fields with text)")
    unknown = sorted(str(name) for name in set(told) - known)
    if unknown:
        raise InvalidRequestError(f"{path.name} has unknown fields (got {unknown}, expected {sorted(known)})")
    wrong = [n for n, v in told.items() if not isinstance(v, str) or not v.strip() or len(v) > _LONGEST]
    if wrong:
        raise InvalidRequestError(f"{path.name}: {wrong} (expected text of 1 to {_LONGEST} characters)")
    return {str(name): str(value).strip() for name, value in told.items()}


def annual(scope: Scope, year: int, answers: Mapping[str, str]) -> Found:
    """The report of a year up to the checkpoint.

    Raises:
        EvidenceError: What it rests on does not verify.
    """
    parts = {
        "provisions": provisions(scope),
        "counts": counts(scope),
        "deletions": deletions(scope),
        "exports": exports(scope),
    }
    as_of = scope.basis.snapshot.entry(scope.basis.size - 1).time
    day = as_of.date()
    due = parameter(scope.gate, "reporting", "annual_report_due", day)
    received = scope.entries(types=(EventType.INTAKE_RECORDING_RECEIVE,), outcome=Outcome.COMPLETED)
    taken = scope.entries(types=(EventType.INTAKE_ITEM_RECEIVE,), outcome=Outcome.COMPLETED)
    refused = scope.entries(outcome=Outcome.REFUSED)
    entries = [entry for part in parts.values() for entry in part.entries]
    return Found(
        rows=[
            {
                "key": item["key"],
                "clause": item["clause"],
                "answers": {name: answers.get(name) for name in item["ask"]},
            }
            for item in form()["items"]
        ],
        entries=entries,
        more={
            "year": year,
            "due": {**due, "date": f"{year}-{due['value']}"},
            "complete": as_of.astimezone(CHINA).year > year,
            "form": {key: form()[key] for key in ("clause_zh", "clause_en", "confidence")},
            "received": {
                "recordings": len({e.event.object for e in received}),
                "items": len(taken),
                "vehicles": len({e.event.vehicle for e in received if e.event.vehicle}),
            },
            "retention": {
                name: parameter(scope.gate, "retention", name, day)
                for name in ("raw_days", "access_log_days", "provision_record_years")
            },
            "measures": {
                "suite": scope.gate.settings.suite,
                "engine": scope.gate.engine.name,
                "bundle": scope.gate.bundle.bundle.digest,
                "profile": scope.gate.profile.profile.name,
                "witnesses": len(scope.gate.settings.witnesses),
            },
            "refused": dict(sorted(Counter(e.event.type.value for e in refused).items())),
            **{name: {"rows": list(part.rows), **part.more} for name, part in parts.items()},
        },
    )
