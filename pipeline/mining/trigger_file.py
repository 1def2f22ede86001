"""A file of triggers: read strictly, every expression parsed and bound before anything runs."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from typing import Any, Final, Literal, cast

import duckdb
from jsonschema import Draft202012Validator

from pipeline.mining.errors import TriggerFileError
from pipeline.mining.expressions import Expression, ExpressionError, read_expression
from pipeline.mining.locked_duckdb import locked_duckdb
from pipeline.mining.signals import SIGNALS
from pipeline.mining.yaml_file import YamlFileError, read_yaml

Taking = Literal["max", "min", "mean", "change", "rises", "age"]
LONGEST_S: Final = 3600.0

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_TEXT: Final = {"type": "string", "minLength": 1, "maxLength": 2000}
_SECONDS: Final = {"type": "number", "minimum": 0, "maximum": LONGEST_S}
_VERSION: Final = {"type": "integer", "minimum": 1}
_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["format", "version", "max_step_s", "triggers"],
    "properties": {
        "format": {"const": "fleetgate-triggers"},
        "version": _VERSION,
        "max_step_s": {**_SECONDS, "exclusiveMinimum": 0},
        "features": {
            "type": "object",
            "maxProperties": 200,
            "additionalProperties": {
                "type": "object",
                "additionalProperties": False,
                "required": ["of", "take"],
                "properties": {
                    "of": _TEXT,
                    "take": {"enum": ["max", "min", "mean", "change", "rises", "age"]},
                    "over_s": {**_SECONDS, "exclusiveMinimum": 0},
                },
            },
        },
        "triggers": {
            "type": "object",
            "minProperties": 1,
            "maxProperties": 200,
            "additionalProperties": {
                "type": "object",
                "additionalProperties": False,
                "required": [
                    "version",
                    "priority",
                    "zh",
                    "en",
                    "where",
                    "min_duration_s",
                    "merge_gap_s",
                    "severity",
                ],
                "properties": {
                    "version": _VERSION,
                    "priority": {"type": "integer", "minimum": 0, "maximum": 100},
                    "zh": _TEXT,
                    "en": _TEXT,
                    "where": _TEXT,
                    "min_duration_s": _SECONDS,
                    "merge_gap_s": _SECONDS,
                    "severity": {
                        "type": "object",
                        "additionalProperties": False,
                        "required": ["of", "from", "to"],
                        "properties": {"of": _TEXT, "from": {"type": "number"}, "to": {"type": "number"}},
                    },
                },
            },
        },
    },
}
_VALIDATOR: Final = Draft202012Validator(_SCHEMA)


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """A column that follows from others over time, within a clip.

    Attributes:
        name: Its name.
        of: What it is taken of; for ``rises`` a condition.
        take: ``max``, ``min``, ``mean`` over the last ``over_s``; ``change`` since the first row of that time;
            ``rises``: how often the condition became true in that time, where it was known to be false before;
            ``age``: seconds since the value last changed, absent before its first change.
        over_s: The time, in s; 0 for ``age``.
    """

    name: str
    of: Expression
    take: Taking
    over_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Severity:
    """How bad a row is: 0 at ``start``, 1 at ``end`` and beyond."""

    of: Expression
    start: float
    end: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """What makes an event.

    Attributes:
        name: Its name.
        version: Raised by whoever changes it.
        priority: 0 to 100; events of higher priority come first.
        title: What it is called, by language (``zh``, ``en``).
        where: The condition on a row.
        min_duration_s: Shorter events, after merging, are none.
        merge_gap_s: Stretches of one clip that are no farther apart are one event.
        severity: How bad a row is; the worst row tells the event's.
    """

    name: str
    version: int
    priority: int
    title: Mapping[str, str]
    where: Expression
    min_duration_s: float
    merge_gap_s: float
    severity: Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerFile:
    """A valid file of triggers.

    Attributes:
        version: Of the file.
        digest: SHA-256 of its bytes, hexadecimal.
        max_step_s: Rows of a clip that are farther apart do not continue one another.
        features: By name.
        triggers: By name.
    """

    version: int
    digest: str
    max_step_s: float
    features: Mapping[str, Feature]
    triggers: Mapping[str, Trigger]


def shipped_triggers() -> TriggerFile:
    """The triggers that come with this package."""
    return read_trigger_file(shipped_content())


def shipped_content() -> bytes:
    """The file of triggers that comes with this package."""
    return files("pipeline.mining").joinpath("triggers.yaml").read_bytes()


def read_trigger_file(content: bytes) -> TriggerFile:
    """Read a file of triggers.

    1. It is YAML in UTF-8 without keys that occur twice.
    2. It has the members that the schema names, and no others; numbers are finite.
    3. Names are lower case, distinct, and not those of signals.
    4. Expressions parse, name known columns and have the type that is needed.

    Raises:
        TriggerFileError: A step fails; the message names the member, its value and what was expected.
    """
    try:
        document = read_yaml(content, _VALIDATOR)  # 1, 2
    except YamlFileError as error:
        raise TriggerFileError(str(error)) from error
    features, triggers = document.get("features") or {}, document["triggers"]
    for kind, names in (("features", features), ("triggers", triggers)):  # 3
        for name in names:
            if not _NAME.fullmatch(name) or name in SIGNALS:
                raise TriggerFileError(
                    f"{kind}.{name} (expected lower case, digits and _, and no signal's name)"
                )
    with locked_duckdb(threads=1, memory_mib=256) as connection:  # 4
        reading = _Reading(connection, tuple(features))
        return TriggerFile(
            version=document["version"],
            digest=sha256(content).hexdigest(),
            max_step_s=float(document["max_step_s"]),
            features={name: reading.feature(name, member) for name, member in features.items()},
            triggers={name: reading.trigger(name, member) for name, member in triggers.items()},
        )


class _Reading:
    """Reads expressions against the columns that there will be."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, features: tuple[str, ...]) -> None:
        self._connection = connection
        self._features = features
        columns = ", ".join(f'"{name}" DOUBLE' for name in (*SIGNALS, *features))
        connection.execute(f"CREATE TABLE signals ({columns})")

    def feature(self, name: str, member: Mapping[str, Any]) -> Feature:
        take, path = cast("Taking", member["take"]), f"features.{name}"
        if (take == "age") is ("over_s" in member):
            expected = "no over_s with age" if take == "age" else f"over_s with {take}"
            raise TriggerFileError(f"{path} (got {sorted(member)}, expected {expected})")
        return Feature(
            name=name,
            of=self._expression(
                f"{path}.of", member["of"], "BOOLEAN" if take == "rises" else "DOUBLE", featured=False
            ),
            take=take,
            over_s=float(member.get("over_s", 0.0)),
        )

    def trigger(self, name: str, member: Mapping[str, Any]) -> Trigger:
        path, severity = f"triggers.{name}", member["severity"]
        if severity["from"] == severity["to"]:
            raise TriggerFileError(f"{path}.severity (got {severity['from']} twice, expected two numbers)")
        return Trigger(
            name=name,
            version=member["version"],
            priority=member["priority"],
            title={"zh": member["zh"], "en": member["en"]},
            where=self._expression(f"{path}.where", member["where"], "BOOLEAN"),
            min_duration_s=float(member["min_duration_s"]),
            merge_gap_s=float(member["merge_gap_s"]),
            severity=Severity(
                of=self._expression(f"{path}.severity.of", severity["of"], "DOUBLE"),
                start=float(severity["from"]),
                end=float(severity["to"]),
            ),
        )

    def _expression(self, path: str, text: str, kind: str, *, featured: bool = True) -> Expression:
        columns = (*SIGNALS, *(self._features if featured else ()))
        try:
            expression = read_expression(self._connection, text, columns)
            bound = self._connection.execute(f"DESCRIBE SELECT {expression.sql} FROM signals").fetchall()  # noqa: S608 - written anew from what is permitted
        except (ExpressionError, duckdb.Error) as error:
            raise TriggerFileError(f"{path}: {error}") from error
        if bound[0][1] != kind:
            raise TriggerFileError(f"{path} {text!r} (got {bound[0][1]}, expected {kind})")
        if not expression.columns:
            raise TriggerFileError(f"{path} {text!r} names no column (expected at least 1)")
        return expression
