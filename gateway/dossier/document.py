"""A document in one language, before it is HTML or PDF: headings, facts, tables and figures, all plain text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class Language(StrEnum):
    """Languages that documents exist in."""

    ZH = "zh"
    EN = "en"

    @property
    def tag(self) -> str:
        """The BCP 47 tag."""
        return {"zh": "zh-CN", "en": "en"}[self.value]


class Style(StrEnum):
    """How a cell is set."""

    TEXT = "text"
    CODE = "code"
    NUMBER = "number"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column: its heading, how its cells are set, and its share of the width."""

    heading: str
    style: Style = Style.TEXT
    width: int = 2

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {"heading": self.heading, "style": self.style.value, "width": self.width}


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A paragraph; a ``note`` is set apart."""

    text: str
    note: bool = False

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {"kind": "note" if self.note else "text", "text": self.text}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A named value."""

    label: str
    value: str
    style: Style = Style.TEXT

    def as_dict(self) -> dict[str, str]:
        """JSON-ready form."""
        return {"label": self.label, "value": self.value, "style": self.style.value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Named values in a table of two columns."""

    caption: str
    facts: tuple[Fact, ...]

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {"kind": "facts", "caption": self.caption, "facts": [each.as_dict() for each in self.facts]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows under headings; ``empty`` is said where there is none.

    Raises:
        ValueError: A row has another number of cells than there are columns.
    """

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    empty: str

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"row of {self.caption!r} (got {len(row)}, expected {len(self.columns)})")

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        if not self.rows:
            return {"kind": "text", "text": self.empty}
        return {
            "kind": "table",
            "caption": self.caption,
            "columns": [each.as_dict() for each in self.columns],
            "rows": [list(row) for row in self.rows],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A drawing, and what it shows in words for whoever does not see it."""

    caption: str
    alt: str
    svg: str

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {"kind": "figure", "caption": self.caption, "alt": self.alt, "svg": self.svg}


Block = Text | Facts | Table | Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Blocks under a heading."""

    heading: str
    blocks: tuple[Block, ...]

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {"heading": self.heading, "blocks": [each.as_dict() for each in self.blocks]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A whole document.

    Attributes:
        language: Its language.
        kind: What it is, such as "release dossier".
        title: What it is about.
        cover: What its cover states.
        sections: What it says.
        running: What the foot of each page repeats.
        dated: The moment it speaks of, aware; never that of its rendering.
        words: ``contents`` and ``page``: what those are called.
    """

    language: Language
    kind: str
    title: str
    cover: Facts
    sections: tuple[Section, ...]
    running: str
    dated: datetime
    words: Mapping[str, str]

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form, which renderers take."""
        return {
            "language": self.language.value,
            "tag": self.language.tag,
            "kind": self.kind,
            "title": self.title,
            "cover": self.cover.as_dict(),
            "sections": [each.as_dict() for each in self.sections],
            "running": self.running,
            "words": dict(self.words),
        }


def rows_of(found: Sequence[Sequence[object]]) -> tuple[tuple[str, ...], ...]:
    """Cells as text; None is a dash."""
    return tuple(tuple("–" if cell is None else str(cell) for cell in row) for row in found)
