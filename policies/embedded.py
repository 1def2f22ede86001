"""The embedded engine: regorus in this process, on one thread that owns it."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from types import TracebackType
from typing import Any, Self

import regorus  # type: ignore[import-untyped]

from policies.bundle import Bundle
from policies.decision import Decision, read_decision
from policies.errors import EngineError
from policies.question import Question

# A regorus engine may be used and dropped by one thread only (anything else raises a BaseException), so each
# worker keeps its engine here, where it dies with its thread.
_owned = threading.local()


class EmbeddedEngine:
    """Judges in this process; calls from any thread are queued to the one that owns the interpreter.

    Args:
        bundle: The bundle to judge by.

    Raises:
        EngineError: A rule does not compile.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.name = f"regorus {version('gordon-to-regorus')}"
        self.bundle = bundle
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="policy")
        try:
            self._worker.submit(_load, bundle).result()
        except EngineError:
            self._worker.shutdown()
            raise

    def decide(self, question: Question) -> Decision:
        """Judge one question.

        Raises:
            EngineError: The interpreter failed, the answer is no decision, or the engine is closed.
        """
        try:
            pending = self._worker.submit(_evaluate, question)
        except RuntimeError as error:
            raise EngineError(f"{self.name} is closed") from error
        return read_decision(pending.result(), question=question, bundle=self.bundle, engine=self.name)

    def close(self) -> None:
        """Stop the owning thread."""
        self._worker.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _load(bundle: Bundle) -> None:
    """Load the interpreter; regorus' faster register machine (Rvm) passes over undefined assignments."""
    try:
        # No local name may hold it: an error would carry the frame and the engine to another thread.
        _owned.engine = regorus.Engine()
        for path, source in sorted(bundle.modules().items()):
            _owned.engine.add_policy(path, source)
        _owned.engine.add_data_json(json.dumps(bundle.data()))
    except BaseException as error:  # noqa: BLE001 (a Rust panic is no Exception; see _converted)
        raise _converted(error) from None


def _evaluate(question: Question) -> Any:
    try:
        _owned.engine.set_input_json(question.canonical.decode())
        return json.loads(_owned.engine.eval_rule_as_json(f"data.fleetgate.{question.point.value}.decision"))
    except BaseException as error:  # noqa: BLE001 (a Rust panic is no Exception; see _converted)
        raise _converted(error) from None


def _converted(error: BaseException) -> BaseException:
    """Turn the interpreter's errors into ours; a panic arrives as a BaseException of no importable type."""
    if isinstance(error, (KeyboardInterrupt, SystemExit, MemoryError)):
        return error
    headline = str(error).partition("\n\nStack backtrace")[0].strip()
    return EngineError(f"regorus failed: {headline or type(error).__name__}")
