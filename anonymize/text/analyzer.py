"""The analyzer: Presidio's engine with our recognisers, made deterministic, bounded and thread-safe."""

import hashlib
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from time import monotonic

import rfc8785
from presidio_analyzer import AnalyzerEngine, RecognizerRegistry, RecognizerResult
from presidio_analyzer.nlp_engine import NoOpNlpEngine

from anonymize.errors import LimitExceededError
from anonymize.finding import Finding, FindingKind, TextSpan
from anonymize.profile import TextProfile
from anonymize.text import recognizers
from anonymize.text.fold import fold
from anonymize.text.person_names import NAME_RULES_DIGEST

_LIBRARIES = ("presidio-analyzer", "jieba", "regex")
TIME_LIMIT_S = 600.0

_WINDOW = 8192
_OVERLAP = 1024
_MARGIN = _OVERLAP // 2
_RANK = {rule.name: rank for rank, rule in enumerate(recognizers.RULES)}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Window:
    text: str
    offset: int
    owns_from: int
    owns_to: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hit:
    kind: FindingKind
    rule: str
    start: int
    end: int
    score: float


class TextAnalyzer:
    """Finds personal, vehicle, position and time data in text; build once (about 2 s, 150 MB) and share.

    Attributes:
        name: Of the detector, as findings carry it.
        digest: SHA-256 over every rule and the versions of the libraries; two analyzers of one digest agree.
    """

    name = "presidio-zh"

    def __init__(self, profile: TextProfile) -> None:
        self._threshold = profile.threshold
        registry = RecognizerRegistry(
            recognizers=list(recognizers.build()), supported_languages=[recognizers.LANGUAGE]
        )
        self._engine = AnalyzerEngine(
            registry=registry,
            nlp_engine=NoOpNlpEngine(models=[{"lang_code": recognizers.LANGUAGE, "model_name": "none"}]),
            supported_languages=[recognizers.LANGUAGE],
        )
        self.digest = _digest()
        self.detector = f"{self.name}@{self.digest[:12]}"

    def find(self, text: str) -> tuple[Finding, ...]:
        """Everything found, as disjoint spans in the order of the text.

        Where findings overlap, the earlier rule keeps its whole span and names it; what a later one covers
        beyond that stays a finding of its own, so that the union is always covered.

        Raises:
            LimitExceededError: The search took too long.
        """
        folded = fold(text)
        hits: list[_Hit] = []
        deadline = monotonic() + TIME_LIMIT_S
        for window in _windows(folded.text):
            if monotonic() > deadline:
                raise LimitExceededError(f"text takes too long to search (got over {TIME_LIMIT_S:.0f} s)")
            hits += self._search(window)
        original = [
            replace(hit, start=start, end=end)
            for hit in hits
            for start, end in [folded.origin(hit.start, hit.end)]
        ]
        return tuple(
            Finding(
                kind=hit.kind,
                where=TextSpan(start=hit.start, end=hit.end),
                confidence=min(1.0, hit.score),
                detector=self.detector,
                label=hit.rule,
            )
            for hit in _disjoint(original)
        )

    def _search(self, window: "_Window") -> Iterator[_Hit]:
        for result in self._engine.analyze(
            window.text, language=recognizers.LANGUAGE, score_threshold=self._threshold
        ):
            if window.owns_from <= result.start < window.owns_to:
                yield _Hit(
                    kind=FindingKind(result.entity_type),
                    rule=result.recognition_metadata[RecognizerResult.RECOGNIZER_NAME_KEY],
                    start=result.start + window.offset,
                    end=result.end + window.offset,
                    score=float(result.score),
                )


def _windows(text: str) -> Iterator[_Window]:
    """Whole lines, about 8 Ki characters at a time; longer lines in overlapping windows.

    No rule looks across the end of a line, so cutting there changes nothing. Of a longer line each window
    owns the matches that start in its middle; a match and its context lie within the overlap.
    """
    start = 0
    while start < len(text):
        end = min(len(text), start + _WINDOW)
        if end < len(text):
            end = text.rfind("\n", start, end) + 1
        if end > start:
            yield _Window(text=text[start:end], offset=start, owns_from=0, owns_to=end - start)
            start = end
            continue
        stop = text.find("\n", start)
        stop = len(text) if stop < 0 else stop + 1
        yield from _overlapping(text, start, stop)
        start = stop


def _overlapping(text: str, start: int, stop: int) -> Iterator[_Window]:
    position = start
    while True:
        end = min(stop, position + _WINDOW)
        owns_from = 0 if position == start else _MARGIN
        owns_to = end - position if end == stop else _WINDOW - _MARGIN
        yield _Window(text=text[position:end], offset=position, owns_from=owns_from, owns_to=owns_to)
        if end == stop:
            return
        position += _WINDOW - _OVERLAP


def _disjoint(hits: list[_Hit]) -> list[_Hit]:
    """Cut later rules' hits to what earlier rules leave uncovered; the union stays the same."""
    starts: list[int] = []
    kept: list[_Hit] = []
    for hit in sorted(
        hits, key=lambda hit: (_RANK.get(hit.rule, len(_RANK)), hit.start - hit.end, hit.start)
    ):
        for start, end in _uncovered(hit, kept, starts):
            rank = bisect_left(starts, start)
            starts.insert(rank, start)
            kept.insert(rank, replace(hit, start=start, end=end))
    return kept


def _uncovered(hit: _Hit, kept: Sequence[_Hit], starts: Sequence[int]) -> list[tuple[int, int]]:
    pieces: list[tuple[int, int]] = []
    position = hit.start
    index = max(0, bisect_left(starts, hit.start) - 1)
    while position < hit.end and index < len(kept) and kept[index].start < hit.end:
        if kept[index].start > position:
            pieces.append((position, kept[index].start))
        position = max(position, kept[index].end)
        index += 1
    if position < hit.end:
        pieces.append((position, hit.end))
    return pieces


def _digest() -> str:
    rules = [rule.described() for rule in recognizers.RULES]
    libraries = {library: version(library) for library in _LIBRARIES}
    body = rfc8785.dumps({"rules": rules, "names": NAME_RULES_DIGEST, "libraries": libraries})
    return hashlib.sha256(body).hexdigest()
