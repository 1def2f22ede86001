"""SQL expressions that engineers write, parsed by DuckDB's parser and written anew from what is permitted.

An expression is arithmetic, comparison and logic over columns of one row. It has no subqueries, windows,
aggregates, casts, texts, or functions beyond those below, so it can neither reach anything else nor run for long.
Every number is a double. A quotient by zero and the root of a negative number are absent values, not NaN, which
DuckDB takes for greater than every number.
"""

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import duckdb

_CALLS: Final[Mapping[str, tuple[int, str]]] = {
    "abs": (1, "abs({0})"),
    "sign": (1, "sign({0})"),
    "sqrt": (1, "CASE WHEN {0} >= 0 THEN sqrt({0}) END"),
    "sin": (1, "sin({0})"),
    "cos": (1, "cos({0})"),
    "atan2": (2, "atan2({0}, {1})"),
    "degrees": (1, "degrees({0})"),
    "radians": (1, "radians({0})"),
    "nullif": (2, "nullif({0}, {1})"),
    "+": (2, "({0} + {1})"),
    "*": (2, "({0} * {1})"),
    "/": (2, "({0} / nullif({1}, 0))"),
}
_ANY_NUMBER: Final = frozenset({"least", "greatest"})
_COMPARED: Final[Mapping[str, str]] = {
    "COMPARE_EQUAL": "=",
    "COMPARE_NOTEQUAL": "<>",
    "COMPARE_LESSTHAN": "<",
    "COMPARE_GREATERTHAN": ">",
    "COMPARE_LESSTHANOREQUALTO": "<=",
    "COMPARE_GREATERTHANOREQUALTO": ">=",
    "COMPARE_DISTINCT_FROM": "IS DISTINCT FROM",
    "COMPARE_NOT_DISTINCT_FROM": "IS NOT DISTINCT FROM",
}
_JOINED: Final[Mapping[str, str]] = {"CONJUNCTION_AND": " AND ", "CONJUNCTION_OR": " OR "}
_OPERATORS: Final[Mapping[str, str]] = {
    "OPERATOR_NOT": "(NOT {0})",
    "OPERATOR_IS_NULL": "({0} IS NULL)",
    "OPERATOR_IS_NOT_NULL": "({0} IS NOT NULL)",
}
_LISTS: Final[Mapping[str, str]] = {"COMPARE_IN": "IN", "COMPARE_NOT_IN": "NOT IN"}
_BETWEEN: Final[Mapping[str, str]] = {"COMPARE_BETWEEN": "BETWEEN", "COMPARE_NOT_BETWEEN": "NOT BETWEEN"}

PERMITTED_FUNCTIONS: Final = tuple(sorted({*_CALLS, *_ANY_NUMBER, "-"}))


class ExpressionError(Exception):
    """An expression does not parse, or says something that is not permitted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """A permitted expression.

    Attributes:
        text: As it was written.
        sql: The same, written anew.
        columns: What it names.
    """

    text: str
    sql: str
    columns: frozenset[str]


def read_expression(connection: duckdb.DuckDBPyConnection, text: str, columns: Collection[str]) -> Expression:
    """Parse an expression.

    Args:
        connection: Whose parser reads it; nothing is executed.
        text: One SQL expression.
        columns: Columns that it may name.

    Raises:
        ExpressionError: See there; the message names the part.
    """
    writing = _Writing(columns)
    sql = writing.sql(_parsed(connection, text))
    return Expression(text=text, sql=sql, columns=frozenset(writing.named))


def _parsed(connection: duckdb.DuckDBPyConnection, text: str) -> Mapping[str, Any]:
    row = connection.execute("SELECT json_serialize_sql(?)", [f"SELECT\n{text}\nFROM signals"]).fetchone()
    answer: Any = json.loads(row[0]) if row else {"error": True, "error_message": "no answer"}
    if answer["error"]:
        raise ExpressionError(f"{text!r} does not parse: {answer['error_message']}")
    select = answer["statements"][0]["node"]
    plain = (
        len(answer["statements"]) == 1
        and select["type"] == "SELECT_NODE"
        and len(select["select_list"]) == 1
        and not select["select_list"][0]["alias"]
        and select["from_table"].get("table_name") == "signals"
        and not any(select[part] for part in ("where_clause", "group_expressions", "having", "qualify"))
        and not any(select[part] for part in ("modifiers", "sample"))
        and not select["cte_map"]["map"]
    )
    if not plain:
        raise ExpressionError(f"{text!r} is not one expression")
    node: Mapping[str, Any] = select["select_list"][0]
    return node


class _Writing:
    """Writes a parsed expression anew and remembers the columns that it names."""

    def __init__(self, columns: Collection[str]) -> None:
        self.named: set[str] = set()
        self._columns = columns

    def sql(self, node: Mapping[str, Any]) -> str:
        kind = str(node["class"])
        write = getattr(self, f"_{kind.lower()}", None)
        if write is None:
            raise ExpressionError(
                f"{kind.lower()} is not permitted (expected arithmetic, comparison and logic over columns)"
            )
        return str(write(node))

    def _column_ref(self, node: Mapping[str, Any]) -> str:
        name = ".".join(node["column_names"])
        if name not in self._columns:
            raise ExpressionError(f"column {name!r} is unknown (expected one of {sorted(self._columns)})")
        self.named.add(name)
        return f'"{name}"'

    def _constant(self, node: Mapping[str, Any]) -> str:
        kind, text = node["literal"]["kind"], node["literal"].get("text", "")
        if kind == "NULL_LITERAL":
            return "NULL"
        if kind == "BOOLEAN":
            return "TRUE" if text == "true" else "FALSE"
        if kind not in {"INTEGER", "NUMERIC"}:
            raise ExpressionError(f"literal of kind {kind} (expected a number, true, false or null)")
        if not math.isfinite(float(text)):
            raise ExpressionError(f"literal {text} is no finite number")
        return f"({float(text)!r}::DOUBLE)"

    def _conjunction(self, node: Mapping[str, Any]) -> str:
        return f"({_JOINED[node['type']].join(self.sql(child) for child in node['children'])})"

    def _comparison(self, node: Mapping[str, Any]) -> str:
        operator = _COMPARED.get(node["type"])
        if operator is None:
            raise ExpressionError(f"comparison {node['type']} is not permitted")
        return f"({self.sql(node['left'])} {operator} {self.sql(node['right'])})"

    def _between(self, node: Mapping[str, Any]) -> str:
        value, lower, upper = (self.sql(node[part]) for part in ("input", "lower", "upper"))
        return f"({value} {_BETWEEN[node['type']]} {lower} AND {upper})"

    def _case(self, node: Mapping[str, Any]) -> str:
        checks = (
            f"WHEN {self.sql(check['when_expr'])} THEN {self.sql(check['then_expr'])}"
            for check in node["case_checks"]
        )
        return f"(CASE {' '.join(checks)} ELSE {self.sql(node['else_expr'])} END)"

    def _operator(self, node: Mapping[str, Any]) -> str:
        kind, parts = node["type"], [self.sql(child) for child in node["children"]]
        if kind == "OPERATOR_COALESCE":
            return f"coalesce({', '.join(parts)})"
        if kind in _LISTS:
            return f"({parts[0]} {_LISTS[kind]} ({', '.join(parts[1:])}))"
        if kind not in _OPERATORS:
            raise ExpressionError(f"operator {kind} is not permitted")
        return _OPERATORS[kind].format(*parts)

    def _function(self, node: Mapping[str, Any]) -> str:
        name = str(node["function_name"]).lower()
        if node["schema"] or node["catalog"] or node["filter"] or node["distinct"]:
            raise ExpressionError(f"function {name!r} is not permitted in this form")
        parts = [self.sql(argument["expression"]) for argument in node["arguments"]]
        if name in _ANY_NUMBER and parts:
            return f"{name}({', '.join(parts)})"
        if name == "-" and len(parts) in {1, 2}:
            return f"({' - '.join(parts)})" if len(parts) > 1 else f"(- {parts[0]})"
        if name not in _CALLS:
            expected = ", ".join(PERMITTED_FUNCTIONS)
            raise ExpressionError(f"function {name!r} is not permitted (expected one of {expected})")
        count, form = _CALLS[name]
        if len(parts) != count:
            raise ExpressionError(f"function {name!r} (got {len(parts)} arguments, expected {count})")
        return form.format(*parts)
