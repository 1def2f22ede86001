"""What a dossier says of sampled quality (COMPLIANCE rule 17)."""

from collections.abc import Mapping
from typing import Any

from gateway.dossier.document import Block, Column, Section, Style, Table, Text, rows_of
from gateway.dossier.setting import facts, number, when
from gateway.dossier.words import Words


def quality_section(twin: Mapping[str, Any], words: Words) -> Section:
    """Plan, counts, bounds and reviewers of the sample, or plainly that there was none."""
    quality = twin["quality"]
    if quality is None:
        return Section(heading=words("s.quality"), blocks=(Text(text=words("quality_no_pictures")),))
    if "sample" not in quality:
        return Section(heading=words("s.quality"), blocks=(Text(text=words("quality_none"), note=True),))
    return Section(
        heading=words("s.quality"),
        blocks=(
            _plan(quality, words),
            *_unverified(quality, words),
            _kinds(quality, words),
            _records(quality, words),
        ),
    )


def _plan(quality: Mapping[str, Any], words: Words) -> Block:
    return facts(
        words,
        "quality_caption",
        (
            ("q.standing", words(f"q.standing.{quality['standing']}")),
            ("q.threshold", f"{quality['threshold']:.2%}"),
            ("q.confidence", f"{quality['confidence']:.2%}"),
            ("q.pictures", number(quality["pictures"])),
            ("q.sampled", number(quality["sampled"])),
            ("q.reviewed", number(quality["reviewed"])),
            ("q.nonconforming", number(len(quality["nonconforming_pictures"]))),
            ("q.false_masks", number(quality["false_masks"])),
            ("q.entry", quality["ledger_index"]),
        ),
        (("q.sample", quality["sample"]),),
    )


def _unverified(quality: Mapping[str, Any], words: Words) -> tuple[Block, ...]:
    if not quality["threshold_unverified"]:
        return ()
    return (Text(text=words("unverified", what="quality.recall_threshold"), note=True),)


def _kinds(quality: Mapping[str, Any], words: Words) -> Block:
    return Table(
        caption=words("q.kinds_caption"),
        columns=(
            Column(heading=words("what"), width=3),
            Column(heading=words("q.hits"), style=Style.NUMBER),
            Column(heading=words("q.misses"), style=Style.NUMBER),
            Column(heading=words("q.undecided"), style=Style.NUMBER),
            Column(heading=words("recall"), width=4),
            Column(heading=words("q.lower_bound"), style=Style.NUMBER, width=3),
            Column(heading=words("q.clean"), width=4),
        ),
        rows=rows_of(
            [
                (
                    words.code(kind),
                    number(told["hits"]),
                    number(told["misses"]),
                    number(told["undecided"]),
                    _share(told["found"]),
                    _percent(told["lower_bound"]),
                    _share(told["clean_pictures"]),
                )
                for kind, told in quality["kinds"].items()
            ]
        ),
        empty=words("none"),
    )


def _records(quality: Mapping[str, Any], words: Words) -> Block:
    return Table(
        caption=words("q.records_caption"),
        columns=(
            Column(heading=words("reviewer"), width=3),
            Column(heading=words("signed_at"), width=4),
            Column(heading=words("q.pictures"), style=Style.NUMBER),
            Column(heading=words("entry"), style=Style.NUMBER),
            Column(heading=words("q.counts"), width=4),
        ),
        rows=rows_of(
            [
                (
                    each["reviewer"],
                    when(each["signed_at"]),
                    number(each["pictures"]),
                    each["ledger_index"],
                    words("yes") if each["counts"] else f"{words('no')}: {each.get('fault', '')}",
                )
                for each in quality["records"]
            ]
        ),
        empty=words("quality_none"),
    )


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{100 * value:.1f} %"


def _share(told: Mapping[str, Any]) -> str | None:
    """A share with its two-sided interval; None where nothing was counted."""
    if not told["of"]:
        return None
    return f"{100 * told['share']:.1f} % ({100 * told['low']:.1f}–{100 * told['high']:.1f})"
