"""A report in one language: the document that its JSON twin says."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from gateway.dossier.document import (
    Block,
    Document,
    Fact,
    Facts,
    Language,
    Section,
    Text,
)
from gateway.dossier.setting import facts, number, when
from gateway.dossier.words import Words
from gateway.reports.compose_annual import annual_sections
from gateway.reports.tables import (
    counts_blocks,
    deletions_blocks,
    exports_blocks,
    provisions_blocks,
    roster_blocks,
)
from gateway.reports.twin import Kind

_BLOCKS: Mapping[Kind, Callable[[Mapping[str, Any], Words], tuple[Block, ...]]] = {
    Kind.PROVISIONS: provisions_blocks,
    Kind.COUNTS: counts_blocks,
    Kind.DELETIONS: deletions_blocks,
    Kind.EXPORTS: exports_blocks,
    Kind.ROSTER: roster_blocks,
}


def compose_report(twin: Mapping[str, Any], language: Language) -> Document:
    """The document of a report, from its twin alone."""
    words, kind = Words(language), Kind(twin["report"])
    title = words(f"r.{kind.value}")
    if kind is Kind.ANNUAL:
        sections = annual_sections(twin, words)
    else:
        sections = (Section(heading=title, blocks=_BLOCKS[kind](twin, words)),)
    return Document(
        language=language,
        kind="Fleetgate",
        title=f"{title} {twin['year']}" if kind is Kind.ANNUAL else title,
        cover=_cover(twin, words),
        sections=(*sections, _basis_section(twin, words)),
        running=f"{title} · {when(twin['checkpoint']['as_of'])}",
        dated=datetime.fromisoformat(twin["checkpoint"]["as_of"]),
        words={"contents": words("contents")},
    )


def _cover(twin: Mapping[str, Any], words: Words) -> Facts:
    since, until = twin["period"]["since"], twin["period"]["until"]
    period = (
        f"{when(since) if since else words('r.from_the_first')} – "
        f"{when(until) if until else words('r.to_the_checkpoint')}"
    )
    told = [
        Fact(label=words("as_of"), value=when(twin["checkpoint"]["as_of"])),
        Fact(label=words("r.period"), value=period),
        Fact(label=words("r.rows"), value=number(len(twin["rows"]))),
        Fact(label=words("origin"), value=twin["checkpoint"]["origin"]),
    ]
    if "year" in twin:
        told += [
            Fact(label=words("r.year"), value=str(twin["year"])),
            Fact(label=words("r.due"), value=twin["due"]["date"]),
            Fact(label=words("r.complete"), value=words("yes") if twin["complete"] else words("no")),
        ]
    return Facts(caption=words("r.scope"), facts=tuple(told))


def _basis_section(twin: Mapping[str, Any], words: Words) -> Section:
    checkpoint = twin["checkpoint"]
    witnesses = ", ".join(w["vkey"].split("+")[0] for w in checkpoint["witnesses"])
    return Section(
        heading=words("s.ledger"),
        blocks=(
            facts(
                words,
                "checkpoint_caption",
                (
                    ("origin", checkpoint["origin"]),
                    ("size", number(checkpoint["size"])),
                    ("as_of", when(checkpoint["as_of"])),
                    ("witnesses", witnesses or words("none")),
                ),
                (("root", checkpoint["root"]), ("vkey", checkpoint["vkey"])),
            ),
            Text(text=words("r.verify")),
            facts(words, "entries_caption", (("count", number(len(twin["ledger"]))),)),
        ),
    )
