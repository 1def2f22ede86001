"""Presidio recognisers over our rules, and one for personal names; none needs a network or a model file.

Presidio's own pattern recogniser skips a pattern that times out (it logs a warning), and its e-mail
recogniser downloads a list of domains; neither is acceptable here, so both are replaced.
"""

import re as stdlib_re
from collections.abc import Iterable

import regex  # type: ignore[import-untyped]
from presidio_analyzer import LocalRecognizer, Pattern, PatternRecognizer, RecognizerResult
from presidio_analyzer.nlp_engine import NlpArtifacts

from anonymize.errors import LimitExceededError
from anonymize.finding import FindingKind
from anonymize.text import identity_rules, place_rules, time_rules, vehicle_rules
from anonymize.text.person_names import NameFinder
from anonymize.text.rule import AFTER, BEFORE, Rule

LANGUAGE = "zh"
RULES: tuple[Rule, ...] = (*identity_rules.RULES, *vehicle_rules.RULES, *place_rules.RULES, *time_rules.RULES)

TIME_LIMIT_S = 20.0

_FLAGS = regex.IGNORECASE | regex.MULTILINE


class RuleRecognizer(PatternRecognizer):
    """One rule as a Presidio recogniser; checks and words around the match decide the score."""

    def __init__(self, rule: Rule) -> None:
        super().__init__(
            supported_entity=rule.kind.value,
            name=rule.name,
            supported_language=LANGUAGE,
            patterns=[Pattern(name=rule.name, regex=rule.pattern, score=max(rule.score, rule.context_score))],
            global_regex_flags=_FLAGS,
        )
        self._rule = rule
        self._expression = regex.compile(rule.pattern, _FLAGS)
        self._context = regex.compile(rule.context, regex.IGNORECASE) if rule.context else None
        self._needs = stdlib_re.compile(rule.needs) if rule.needs else None
        self._only_in_context = rule.score == rule.failed_score == 0.0
        self._unless = (
            stdlib_re.compile(rf"(?:{rule.unless})\Z", stdlib_re.IGNORECASE) if rule.unless else None
        )

    def analyze(
        self,
        text: str,
        entities: list[str],  # noqa: ARG002 - Presidio's signature
        nlp_artifacts: NlpArtifacts | None = None,  # noqa: ARG002 - Presidio's signature
        regex_flags: int | None = None,  # noqa: ARG002 - Presidio's signature
    ) -> list[RecognizerResult]:
        """Every match of the rule in folded text.

        Raises:
            LimitExceededError: The expression did not finish in time; skipping it would leak.
        """
        if self._cannot_match(text):
            return []
        results = []
        try:
            for match in self._expression.finditer(text, timeout=TIME_LIMIT_S):
                start, end = match.span("v") if "v" in self._expression.groupindex else match.span()
                score = self._score(text, start, end)
                if score > 0.0:
                    results.append(_result(self, self._rule.kind, self._rule.name, (start, end), score))
        except TimeoutError as error:
            raise LimitExceededError(
                f"text takes too long to search (got over {TIME_LIMIT_S:.0f} s for rule {self._rule.name})"
            ) from error
        return results

    def _cannot_match(self, text: str) -> bool:
        if self._needs is not None and not self._needs.search(text):
            return True
        return self._only_in_context and self._context is not None and not self._context.search(text)

    def _score(self, text: str, start: int, end: int) -> float:
        rule = self._rule
        before = text[max(0, start - BEFORE) : start].rpartition("\n")[2]
        if self._unless is not None and self._unless.search(before):
            return 0.0
        passed = rule.check is None or rule.check(text[start:end])
        plain, supported = (
            (rule.score, rule.context_score) if passed else (rule.failed_score, rule.failed_context_score)
        )
        if self._context is None or supported <= plain:
            return plain
        after = text[end : end + AFTER].partition("\n")[0]
        return supported if self._context.search(before) or self._context.search(after) else plain


class NameRecognizer(LocalRecognizer):
    """Personal names by word segmentation and by the words that introduce them."""

    def __init__(self, finder: NameFinder) -> None:
        self._finder = finder
        super().__init__(
            supported_entities=[FindingKind.PERSON_NAME.value],
            name="person_name",
            supported_language=LANGUAGE,
        )

    def load(self) -> None:
        """Nothing to load; the finder was built before."""

    def analyze(
        self,
        text: str,
        entities: list[str],  # noqa: ARG002 - Presidio's signature
        nlp_artifacts: NlpArtifacts | None = None,  # noqa: ARG002 - Presidio's signature
    ) -> list[RecognizerResult]:
        """Every name in folded text."""
        return [
            _result(self, FindingKind.PERSON_NAME, found.rule, (found.start, found.end), found.score)
            for found in self._finder.find(text)
        ]


def build() -> Iterable[LocalRecognizer]:
    """All recognisers in order of precedence: the first of two overlapping findings names the placeholder."""
    return (*map(RuleRecognizer, RULES), NameRecognizer(NameFinder()))


def _result(
    by: LocalRecognizer, kind: FindingKind, rule: str, span: tuple[int, int], score: float
) -> RecognizerResult:
    """A result that carries the rule; the identifier must be its recogniser's, or the engine loses it."""
    return RecognizerResult(
        entity_type=kind.value,
        start=span[0],
        end=span[1],
        score=score,
        recognition_metadata={
            RecognizerResult.RECOGNIZER_NAME_KEY: rule,
            RecognizerResult.RECOGNIZER_IDENTIFIER_KEY: by.id,
        },
    )
