"""A rule: an expression, a check of what it matched, and what the words around it are worth."""

from collections.abc import Callable
from dataclasses import dataclass

from anonymize.finding import FindingKind

BEFORE = 40
AFTER = 16

D0 = r"(?<![0-9])(?<![0-9][.])"
D1 = r"(?![0-9])(?![.][0-9])(?!e[+-]?[0-9])"
A0 = r"(?<![0-9A-Za-z])"
A1 = r"(?![0-9A-Za-z])"
# Before words of 17 characters: no digits and exponent of a number such as 1.2246467991473532e-16.
NO_NUMBER = r"(?![0-9]{16}e[+-][0-9])(?!(?<=[0-9][.])[0-9]{1,16}e[0-9]{1,3}(?![0-9A-Za-z]))"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One way in which one kind of finding is written. The group ``v``, where there is one, is what is found.

    Attributes:
        name: Closed vocabulary; the finding's label.
        kind: What is found.
        pattern: Case-insensitive expression over folded text; every repetition bounded.
        score: Confidence without supporting words; 0 for none.
        context: Expression of supporting words, searched up to 40 characters before and 16 after on the line.
        context_score: Confidence with supporting words.
        check: Verdict on the matched text with separators removed; None if there is nothing to check.
        failed_score: Confidence without supporting words when ``check`` fails.
        failed_context_score: Confidence with supporting words when ``check`` fails.
        needs: Case-sensitive expression without which the pattern cannot match; it spares the costly search.
        unless: Expression that must not end directly before the match (versions before an address).
    """

    name: str
    kind: FindingKind
    pattern: str
    score: float
    context: str = ""
    context_score: float = 0.0
    check: Callable[[str], bool] | None = None
    failed_score: float = 0.0
    failed_context_score: float = 0.0
    needs: str = ""
    unless: str = ""

    def described(self) -> dict[str, str | float]:
        """What the rule does, for the analyzer's digest; a check is known by its name."""
        return {
            "name": self.name,
            "kind": self.kind.value,
            "pattern": self.pattern,
            "context": self.context,
            "needs": self.needs,
            "unless": self.unless,
            "check": self.check.__name__ if self.check else "",
            "score": self.score,
            "context_score": self.context_score,
            "failed_score": self.failed_score,
            "failed_context_score": self.failed_context_score,
        }
