"""Regulatory numbers that the gate itself acts on, read from the signed policy data in force."""

from calendar import isleap
from datetime import date, datetime, timedelta
from typing import Any

from gateway.errors import ConfigurationError
from gateway.flow.gate import Gate


def raw_retention_days(gate: Gate) -> int:
    """Days that an unattested raw original may stay after it left the vehicle (COMPLIANCE.md C8, rule 21).

    Raises:
        ConfigurationError: The policy data in force lacks the number.
    """
    return int(_retention(gate, "raw_days"))


def term_of_record(gate: Gate, name: str, ended: datetime) -> datetime | None:
    """Until when a record is kept whose term runs from a moment; None for good (rule 29); errors as above.

    A term of years from 29 February ends on 1 March.
    """
    value = _retention(gate, name)
    if value == "never":
        return None
    return ended + timedelta(days=int(value)) if name.endswith("_days") else _years_after(ended, int(value))


def _years_after(moment: datetime, years: int) -> datetime:
    year = moment.year + years
    if (moment.month, moment.day) == (2, 29) and not isleap(year):
        return moment.replace(year=year, month=3, day=1)
    return moment.replace(year=year)


def parameter(gate: Gate, file: str, name: str, day: date) -> dict[str, Any]:
    """A parameter of the policy data in force: its ``value`` on a day, ``unit``, ``source`` and ``confidence``.

    Raises:
        ConfigurationError: The policy data lacks it, or it has no value yet on that day.
    """
    told = gate.bundle.bundle.data()["law"].get(file, {}).get(name, {})
    values = told.get("values", {})
    in_force = [since for since in values if str(since) <= day.isoformat()]
    if not in_force:
        raise ConfigurationError(f"policy data names no such term (expected {file}.{name})")
    stated = {key: str(told[key]) for key in ("unit", "source", "confidence")}
    return {**stated, "value": values[max(in_force)]}


def candidate_days(gate: Gate) -> int:
    """Days that a built candidate may wait for its publication (rule 5); errors as above."""
    return int(_term(gate, "approval", "candidate_valid_days"))


def challenge_seconds(gate: Gate) -> int:
    """Seconds in which a security key must answer a challenge; errors as above."""
    return int(_term(gate, "approval", "challenge_valid_seconds"))


def approval_days(gate: Gate) -> int:
    """Days that an approval holds (rule 5, law 8); errors as above."""
    return int(_term(gate, "approval", "approval_valid_days"))


def break_glass_review_days(gate: Gate) -> int:
    """Days after its end within which a break-glass is to be reviewed (rule 30); errors as above."""
    return int(_term(gate, "acts", "break_glass_review_days"))


def sampling_terms(gate: Gate) -> dict[str, float]:
    """What a sample of pictures must promise (rule 17), by the names of ``SamplingTerms``; errors as above."""
    return {
        "threshold": float(_term(gate, "quality", "recall_threshold")),
        "confidence": float(_term(gate, "quality", "confidence")),
        "good_share": float(_term(gate, "quality", "good_share")),
        "good_accepted": float(_term(gate, "quality", "good_accepted")),
    }


def is_unverified(gate: Gate, file: str, name: str) -> bool:
    """Whether nothing confirmed a number that policy data holds (confidence ``m``)."""
    parameter = gate.bundle.bundle.data()["law"].get(file, {}).get(name, {})
    return bool(parameter.get("confidence") == "m")


def _retention(gate: Gate, name: str) -> Any:
    return _term(gate, "retention", name)


def _term(gate: Gate, area: str, name: str) -> Any:
    return parameter(gate, area, name, gate.clock().date())["value"]
