"""How values are set in documents: moments, numbers, shares, and tables of named values."""

from collections.abc import Sequence

from gateway.dossier.document import Fact, Facts, Style
from gateway.dossier.words import Words


def when(moment: str | None) -> str:
    """An RFC 3339 instant to the second, in UTC."""
    return "–" if moment is None else f"{moment[:10]} {moment[11:19]}Z"


def number(value: float | None) -> str:
    """A number with groups of three digits."""
    return "–" if value is None else f"{value:,}"


def share(value: Sequence[float]) -> str:
    """A share with the bounds of its interval, in per cent."""
    middle, low, high = (100 * each for each in value)
    return f"{middle:.1f} % ({low:.1f}–{high:.1f})"


def facts(
    words: Words,
    caption: str,
    rows: Sequence[tuple[str, object]],
    codes: Sequence[tuple[str, str | None]] = (),
) -> Facts:
    """Named values: ``rows`` as text, ``codes`` (digests and the like) in fixed width. Keys are of ``Words``."""
    return Facts(
        caption=words(caption),
        facts=(
            *(Fact(label=words(key), value="–" if value is None else str(value)) for key, value in rows),
            *(
                Fact(label=words(key), value="–" if value is None else value, style=Style.CODE)
                for key, value in codes
            ),
        ),
    )
