"""What an engine is, and how one is admitted: it must answer every golden vector as recorded."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from policies.bundle import Bundle
from policies.decision import Decision
from policies.errors import EngineError, VectorMismatchError
from policies.question import Point, Question
from policies.vectors import Vector


class Engine(Protocol):
    """Judges questions by one bundle; usable from any thread.

    Attributes:
        name: Kind and version of the engine, recorded with each decision.
        bundle: The bundle it judges by.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 (described above)

    @property
    def bundle(self) -> Bundle: ...  # noqa: D102 (described above)

    def decide(self, question: Question) -> Decision:
        """Judge one question.

        Raises:
            EngineError: No well-formed decision could be had; the act must not take place.
        """
        ...

    def close(self) -> None:
        """Release what the engine holds; it judges no more."""
        ...


E = TypeVar("E", bound=Engine)


def start_engine(engine: E, vectors: Sequence[Vector]) -> E:
    """Admit an engine that answers every golden vector as recorded (DESIGN.md §4 Policy).

    1. The vectors allow something at every point and deny by every rule of the catalogue.
    2. Every vector is answered as recorded.

    Raises:
        VectorMismatchError: Either does not hold; the engine is closed.
    """
    faults = gaps_of(engine.bundle, vectors) or [
        fault for vector in vectors if (fault := mismatch_of(engine, vector))
    ]
    if faults:
        engine.close()
        raise VectorMismatchError(
            f"{engine.name} is not admitted: {'; '.join(faults[:10])} ({len(faults)} in all)"
        )
    return engine


def gaps_of(bundle: Bundle, vectors: Sequence[Vector]) -> list[str]:
    """What the vectors leave open: a point where nothing is allowed, a rule by which nothing is denied."""
    denied = {(vector.question.point, rule) for vector in vectors for rule in vector.missing}
    allowed = {vector.question.point for vector in vectors if not vector.missing}
    return [f"no vector allows at {point}" for point in Point if point not in allowed] + [
        f"no vector denies by {point}/{rule}"
        for point in Point
        for rule in bundle.catalogue[point]
        if (point, rule) not in denied
    ]


def mismatch_of(engine: Engine, vector: Vector) -> str | None:
    """How an engine answers a vector otherwise than recorded; None where it does not."""
    try:
        decision = engine.decide(vector.question)
    except EngineError as error:
        return f"{vector.name}: {error}"
    return vector.mismatch(decision)
