"""The embedded engine: regorus in this process, one interpreter for each thread that asks."""

import itertools
import json
import re
import threading
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from types import TracebackType
from typing import Any, Self

import regorus  # type: ignore[import-untyped]

from policies.bundle import Bundle
from policies.decision import Decision, read_decision
from policies.errors import EngineError
from policies.question import Point, Question

# A regorus interpreter may be used and dropped by one thread only (anything else raises a BaseException), so
# each thread keeps its own here, where it dies with the thread. Handing questions to one owning thread instead
# costs two context switches, which on a busy machine take longer than the decision.
_owned = threading.local()
_tokens = itertools.count()


_POINTS = frozenset(point.value for point in Point)
_NAMED = re.compile(r"\bfleetgate\b(?:\.(\w+))?|\bdata\s*\[")


def modules_by_point(bundle: Bundle) -> dict[str, list[tuple[str, str]]]:
    """The modules that each point needs, by path: its own and the library's.

    regorus looks through every rule that is loaded for each reference to data, so that rules of other points cost
    a third of a decision. Where a module of a point is of another package, names another point's, or any in a way
    that cannot be read off, each point gets the whole bundle.
    """
    modules = sorted(bundle.modules().items())
    own: dict[str, list[tuple[str, str]]] = {point: [] for point in _POINTS}
    for path, source in modules:
        folder = path.split("/")[1] if path.startswith("rules/") else ""
        named = {match[1] for match in _NAMED.finditer(source)}
        apart = folder in _POINTS and re.search(rf"(?m)^package fleetgate\.{folder}$", source) is not None
        if named - {folder, "lib"} or (folder in _POINTS) is not apart or (not apart and named - {"lib"}):
            return dict.fromkeys(_POINTS, modules)
        for point in {folder} & _POINTS or _POINTS:
            own[point].append((path, source))
    return own


_HEAD = re.compile(
    r"(?:[ \t]*(?:#.*)?\n)*package (?P<package>\S+)[ \t]*\n(?P<imports>(?:[ \t]*(?:#.*)?\n|import .*\n)*)"
)
_STATED = re.compile(r"(?m)^[ \t]*(?:package|import)\b")


def merged(modules: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The same rules in one module for each package and set of imports.

    That saves regorus up to a quarter of a decision, and changes no answer: rules of one package share their names
    however many files they stand in, only imports are a file's own. Where a file has a package or an import
    anywhere but at its head, all modules are left as they are.
    """
    files: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for _, source in modules:
        head = _HEAD.match(source)
        if head is None or _STATED.search(source, head.end()):
            return list(modules)
        imports = {line.strip() for line in head["imports"].splitlines() if line.startswith("import")}
        files.setdefault((head["package"], tuple(sorted(imports))), []).append(source[head.end() :])
    return [
        (f"{package}.{number}.rego", "\n".join([f"package {package}", *imports, *rules]))
        for number, ((package, imports), rules) in enumerate(files.items())
    ]


class EmbeddedEngine:
    """Judges in this process, on any thread; a thread's first question at a point loads its rules (some 20 ms).

    Args:
        bundle: The bundle to judge by.

    Raises:
        EngineError: A rule does not compile.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.name = f"regorus {version('gordon-to-regorus')}"
        self.bundle = bundle
        self._token = next(_tokens)
        self._data = json.dumps(bundle.data())
        self._closed = False
        apart = modules_by_point(bundle)
        self._modules = {point: merged(modules) for point, modules in apart.items()}
        for point in Point:
            try:
                self._load(point)
            except EngineError:
                # As they are written, so that the error names the file.
                self._modules[point] = apart[point]
                self._load(point)

    def decide(self, question: Question) -> Decision:
        """Judge one question.

        Raises:
            EngineError: The interpreter failed, the answer is no decision, or the engine is closed.
        """
        if self._closed:
            raise EngineError(f"{self.name} is closed")
        if getattr(_owned, "token", None) != self._token or question.point not in _owned.interpreters:
            self._load(question.point)
        return read_decision(_evaluate(question), question=question, bundle=self.bundle, engine=self.name)

    def close(self) -> None:
        """Refuse further questions and drop this thread's interpreters."""
        self._closed = True
        if getattr(_owned, "token", None) == self._token:
            del _owned.token, _owned.interpreters

    def _load(self, point: Point) -> None:
        """Load a point's interpreter; regorus' faster register machine (Rvm) passes over undefined assignments."""
        if getattr(_owned, "token", None) != self._token:
            _owned.token, _owned.interpreters = self._token, {}
        # No local name may hold it: an error would carry the frame and the interpreter to another thread.
        try:
            _owned.interpreters[point] = regorus.Engine()
            for path, source in self._modules[point]:
                _owned.interpreters[point].add_policy(path, source)
            _owned.interpreters[point].add_data_json(self._data)
        except BaseException as error:  # noqa: BLE001 (a Rust panic is no Exception; see _converted)
            del _owned.token, _owned.interpreters
            raise _converted(error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _evaluate(question: Question) -> Any:
    try:
        _owned.interpreters[question.point].set_input_json(question.canonical.decode())
        answer = _owned.interpreters[question.point].eval_rule_as_json(
            f"data.fleetgate.{question.point}.decision"
        )
        return json.loads(answer)
    except BaseException as error:  # noqa: BLE001 (a Rust panic is no Exception; see _converted)
        raise _converted(error) from None


def _converted(error: BaseException) -> BaseException:
    """Turn the interpreter's errors into ours; a panic arrives as a BaseException of no importable type."""
    if isinstance(error, (KeyboardInterrupt, SystemExit, MemoryError)):
        return error
    if isinstance(error, EngineError):
        return error
    headline = str(error).partition("\n\nStack backtrace")[0].strip()
    return EngineError(f"regorus failed: {headline or type(error).__name__}")


def rule_answers(
    modules: Mapping[str, str], data: str, keys: Sequence[tuple[str, str]]
) -> list[tuple[tuple[str, str], dict[str, dict[str, Any]]]]:
    """Ask the cases of tests of rules, each as its own question: regorus evaluates ``with`` wrongly.

    Args:
        modules: Rego sources by path, tests included.
        data: What they read, as JSON.
        keys: Point and rule of each test.

    Returns:
        For each key its cases, each with ``got`` beside its ``passes``.

    Raises:
        EngineError: A module does not compile, or a test has no cases.
    """
    found = []
    try:
        interpreter = regorus.Engine()
        for path, source in sorted(modules.items()):
            interpreter.add_policy(path, source)
        interpreter.add_data_json(data)
        for point, rule in keys:
            interpreter.set_input_json("{}")
            cases = json.loads(
                interpreter.eval_rule_as_json(f"data.fleetgate_test.{point}.{rule}.cases") or "null"
            )
            if not isinstance(cases, dict):
                raise EngineError(f"test of {point}/{rule} has no cases (got {cases!r})")
            for case in cases.values():
                interpreter.set_input_json(json.dumps(case["question"]))
                passed = json.loads(interpreter.eval_rule_as_json(f"data.fleetgate.{point}.passed"))
                case["got"] = rule in passed
            found.append(((point, rule), cases))
    except BaseException as error:  # noqa: BLE001 (a Rust panic is no Exception; see _converted)
        raise _converted(error) from None
    return found
