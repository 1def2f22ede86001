"""One pass over a container: messages in, an MCAP out, and the evidence of what was done on the way."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from anonymize.containers.mcap_writer import write_mcap
from anonymize.containers.stream import Message
from anonymize.errors import AnonymizeError, MalformedItemError
from anonymize.finding import FieldPath, Finding, FindingKind, Treated, Treatment, TreatmentKind

_STRUCTURAL = "containers"


@dataclass(frozen=True, slots=True, kw_only=True)
class PassOutcome:
    """What one pass found and did.

    Attributes:
        findings: One per kind, topic, label and detector, however many messages it occurred in.
        treatments: One per kind of treatment and of finding, with the number of places.
        tags: Kinds of zones that were met, and FACE, PLATE where they were seen.
        facts: JSON-ready measures; ``messages`` counts what came in and went out by topic, ``left_out`` what was
            left out by reason.
    """

    findings: tuple[Finding, ...]
    treatments: tuple[Treatment, ...]
    tags: tuple[str, ...]
    facts: Mapping[str, Any]


@dataclass(slots=True)
class Tally:
    """Counts what happens to messages; bounded by topics and kinds, not by messages."""

    came: Counter[str] = field(default_factory=Counter)
    went: Counter[str] = field(default_factory=Counter)
    reasons: dict[str, Counter[str]] = field(default_factory=dict)
    facts: Counter[str] = field(default_factory=Counter)
    tags: set[str] = field(default_factory=set)
    _found: dict[tuple[FindingKind, str, str, str], float] = field(default_factory=dict)
    _done: Counter[tuple[TreatmentKind, FindingKind]] = field(default_factory=Counter)
    _how: dict[tuple[TreatmentKind, FindingKind], dict[str, str | int | float | bool]] = field(
        default_factory=dict
    )

    def found(
        self,
        kind: FindingKind,
        topic: str,
        *,
        label: str = "",
        detector: str = _STRUCTURAL,
        confidence: float = 1.0,
    ) -> None:
        """Note a finding in a topic; the greatest confidence stays."""
        key = (kind, topic, label, detector)
        self._found[key] = max(self._found.get(key, 0.0), confidence)

    def done(self, kind: TreatmentKind, of: FindingKind, count: int = 1, **how: str | float | bool) -> None:
        """Note a treatment."""
        self._done[kind, of] += count
        self._how.setdefault((kind, of), {}).update(how)

    def left_out(self, topic: str, reason: str) -> None:
        """Note a message that does not go on; ``reason`` is of a closed vocabulary."""
        self.reasons.setdefault(topic, Counter())[reason] += 1

    def treated(self, topic: str, treated: Treated) -> None:
        """Note what the treatment of a file found and did."""
        for finding in treated.findings:
            self.found(
                finding.kind,
                topic,
                label=finding.label,
                detector=finding.detector,
                confidence=finding.confidence,
            )
            if finding.kind in {FindingKind.FACE, FindingKind.PLATE}:
                self.tags.add(finding.kind.name)
        for treatment in treated.treatments:
            self.done(treatment.kind, treatment.of, treatment.count, **treatment.parameters)

    def outcome(self, **more: Any) -> PassOutcome:
        """Everything that was noted."""
        topics = sorted(self.came.keys() | self.went.keys())
        facts: dict[str, Any] = {
            "messages": {topic: {"in": self.came[topic], "out": self.went[topic]} for topic in topics},
            "left_out": {
                topic: dict(sorted(counts.items())) for topic, counts in sorted(self.reasons.items())
            },
        }
        return PassOutcome(
            findings=tuple(
                Finding(
                    kind=kind,
                    where=FieldPath(path=topic),
                    confidence=confidence,
                    detector=detector,
                    label=label,
                )
                for (kind, topic, label, detector), confidence in sorted(self._found.items())
            ),
            treatments=tuple(
                Treatment(kind=kind, of=of, count=count, parameters=self._how[kind, of])
                for (kind, of), count in sorted(self._done.items())
            ),
            tags=tuple(sorted(self.tags)),
            facts={**facts, **dict(sorted(self.facts.items())), **more},
        )


class ContainerPass:
    """A pass that runs while its output is taken."""

    def __init__(
        self,
        messages: Callable[[], Iterator[Message]],
        outcome: Callable[[], PassOutcome],
        *,
        profile: str,
        chunk_bytes: int,
    ) -> None:
        """Take what yields the messages that go out, and what tells the outcome after the last of them."""
        self._messages, self._outcome = messages, outcome
        self._profile, self._chunk_bytes = profile, chunk_bytes
        self._state = "new"

    def chunks(self) -> Iterator[bytes]:
        """The treated container as MCAP, in pieces; can be taken once.

        Raises:
            AnonymizeError: A message cannot be treated; names its topic and its number in the topic.
            RuntimeError: The pass was taken before.
        """
        if self._state != "new":
            raise RuntimeError("a pass runs once (got a second call)")
        self._state = "running"
        yield from write_mcap(self._messages(), profile=self._profile, chunk_bytes=self._chunk_bytes)
        self._state = "done"

    def outcome(self) -> PassOutcome:
        """What was found and done.

        Raises:
            RuntimeError: Not all of the output was taken.
        """
        if self._state != "done":
            raise RuntimeError("the outcome is known when all chunks were taken (got fewer)")
        return self._outcome()


class Numbered:
    """Counts the messages of each topic, so that an error can name the one that it is about."""

    def __init__(self) -> None:
        self._numbers: Counter[int] = Counter()

    def treat(self, message: Message, treatment: Callable[[Message], Message | None]) -> Message | None:
        """Treat one message.

        Raises:
            AnonymizeError: What the treatment raises, of the same class, with topic and number of the message;
                ``MalformedItemError`` where a field is missing or of another type than the treatment needs.
        """
        number = self._numbers[message.channel.id]
        self._numbers[message.channel.id] += 1
        try:
            return treatment(message)
        except AnonymizeError as error:
            raise type(error)(f"{_place(message, number)}: {error}") from error
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
            raise MalformedItemError(
                f"{_place(message, number)}: its fields are not those that its treatment needs "
                f"({type(error).__name__})"
            ) from error


def _place(message: Message, number: int) -> str:
    return f"message {number} of topic {message.channel.topic[:128]!r}"
