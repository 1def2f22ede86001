"""A dossier in one language: the document that its JSON twin says, and nothing that the twin does not."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from gateway.dossier.compose_content import (
    detection_section,
    items_section,
    position_section,
    treatment_section,
)
from gateway.dossier.compose_oversight import oversight_section
from gateway.dossier.compose_people import (
    approvals_section,
    decision_section,
    delivery_section,
    ledger_section,
    licence_section,
    lineage_section,
    slopes_section,
)
from gateway.dossier.compose_quality import quality_section
from gateway.dossier.document import Document, Fact, Facts, Language, Section, Style, Text
from gateway.dossier.setting import facts, number, when
from gateway.dossier.words import Words


def compose(twin: Mapping[str, Any], language: Language) -> Document:
    """The document of a dossier, from its twin alone."""
    words = Words(language)
    release = twin["release"]
    sections = [
        _terms_section(twin, words),
        licence_section(twin, words),
        oversight_section(twin, words),
        items_section(twin, words),
        treatment_section(twin, words),
        detection_section(twin, words),
        quality_section(twin, words),
        position_section(twin, words),
        _attack_section(twin, words),
        *([slopes_section(twin, words)] if "slope_review" in twin else []),
        decision_section(twin, words),
        approvals_section(twin, words),
        delivery_section(twin, words),
        *([lineage_section(twin, words)] if "lineage" in twin else []),
        ledger_section(twin, words),
    ]
    return Document(
        language=language,
        kind=words("dossier"),
        title=release["id"],
        cover=_cover(twin, words),
        sections=tuple(sections),
        running=f"{words('dossier')} {release['id']} · SHA-256 {release['digest'][:16]}…",
        dated=datetime.fromisoformat(twin["checkpoint"]["as_of"]),
        words={"contents": words("contents")},
    )


def _cover(twin: Mapping[str, Any], words: Words) -> Facts:
    release, licence = twin["release"], twin["licence"]
    return Facts(
        caption=words("s.terms"),
        facts=(
            Fact(label=words("digest"), value=release["digest"], style=Style.CODE),
            Fact(label=words("recipient"), value=release["recipient"]),
            Fact(label=words("purpose"), value=release["purpose"]),
            Fact(label=words("licence"), value=licence["number"] if licence else words("licence_none")),
            Fact(label=words("mode"), value=words(f"mode.{release['mode']}")),
            Fact(label=words("released_at"), value=when(release["released_at"])),
            Fact(label=words("expires_at"), value=when(release["expires_at"])),
            Fact(label=words("revoked"), value=_revoked(release, words)),
            Fact(label=words("items"), value=number(release["items"])),
            Fact(
                label=words("s.approvals"),
                value=", ".join(each["approver"] for each in twin["approvals"]) or words("none"),
            ),
            Fact(label=words("edition"), value=words(f"edition.{twin['edition']}")),
            Fact(label=words("as_of"), value=when(twin["checkpoint"]["as_of"])),
        ),
    )


def _revoked(release: Mapping[str, Any], words: Words) -> str:
    revoked = release["revoked"]
    return f"{when(revoked['at'])} ({revoked['by']})" if revoked else words("not_revoked")


def _terms_section(twin: Mapping[str, Any], words: Words) -> Section:
    release, parties = twin["release"], twin["parties"]
    area = release["holdings"]["area_m2"]
    rows: Sequence[tuple[str, object]] = (
        ("release", release["id"]),
        ("purpose", release["purpose"]),
        ("assessment", parties["assessment"]),
        ("recipient", release["recipient"]),
        ("country", parties["recipient_country"]),
        ("contract", parties["contract"]),
        ("mode", words(f"mode.{release['mode']}")),
        ("destination", words(f"destination.{release['destination_zone']}")),
        ("map_number", release["map_number"] or words("none")),
        ("dpia", release["dpia_reference"] or words("none")),
        ("level", words.code(twin["decision"]["level"])),
        ("profile", release["profile"]["name"]),
        ("submitter", release["submitter"]),
        ("published_by", release["published_by"]),
        ("requested_at", when(release["requested_at"])),
        ("released_at", when(release["released_at"])),
        ("expires_at", when(release["expires_at"])),
        ("revoked", _revoked(release, words)),
        ("holdings_area", None if area is None else f"{area / 1e6:.3f}"),
        ("holdings_subjects", release["holdings"]["subjects"]),
    )
    codes = (("digest", release["digest"]), ("profile_digest", release["profile"]["digest"]))
    return Section(
        heading=words("s.terms"),
        blocks=(facts(words, "s.terms", rows, codes), Text(text=words("persons_note"))),
    )


def _attack_section(twin: Mapping[str, Any], words: Words) -> Section:
    heading, attack = words("s.attack"), twin["attack"]
    if attack is None:
        return Section(heading=heading, blocks=(Text(text=words("attack_none"), note=True),))
    lines = [words.one_of(line) for line in attack["lines"]]
    return Section(
        heading=heading,
        blocks=(
            *(Text(text=line) for line in lines),
            facts(
                words,
                "s.attack",
                (("attack_runs", ", ".join(str(entry) for entry in attack["runs"])),),
                (("attack_extract", attack["extract"]),),
            ),
        ),
    )
