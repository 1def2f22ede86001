"""What a sample of a candidate's pictures showed, as operators and its dossier see it (COMPLIANCE rule 17)."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from anonymize.media.acceptance import least_share
from anonymize.media.quality import proportion
from gateway.database import ReadSession, WriteSession
from gateway.flow import evidence
from gateway.flow.cleanse import load_cleansed
from gateway.flow.gate import Gate
from gateway.flow.kinds.handling import has_pixels
from gateway.flow.law import is_unverified
from gateway.flow.recording import Built, Cleansed, Stage
from gateway.review.quality_counts import KINDS, PictureCount
from gateway.review.quality_standing import Looked, Quality, looked_at, proved

_SIDES = ((16, "<16"), (32, "16-32"), (64, "32-64"))
_UNKNOWN = "unknown"


def quality_report_of(
    gate: Gate,
    session: ReadSession | WriteSession,
    built: Built,
    cleansed: Iterable[Cleansed] | None = None,
) -> dict[str, Any] | None:
    """Plan, counts, bounds and reviewers of a candidate's sample; None where it shows no pictures.

    Of one that shows some, but of which no sample was drawn, ``standing`` is ``not_drawn`` and nothing else is
    told. Shares come with the exact two-sided 95 % interval and the one-sided bound at the plan's confidence.

    Args:
        gate: The gate.
        session: Where rows are read.
        built: The candidate.
        cleansed: Its items, where the caller loaded and verified them; loading them is most of what this costs.

    Raises:
        EvidenceError: An item, the sample or a record does not verify.
    """
    if cleansed is None:
        cleansed = (load_cleansed(gate, session, item.source) for item in built.items)
    if not any(has_pixels(each) for each in cleansed):
        return None
    looked = looked_at(gate, session, built)
    if looked is None:
        return {"standing": Quality.NOT_DRAWN.value}
    drawn = evidence.load(
        gate, session, owner=built.terms.release, stage=Stage.SAMPLED, previous=built.evidence.digest
    )
    sample, terms = looked.sample, looked.sample.terms
    return {
        "standing": looked.standing().value,
        "sample": sample.digest,
        "ledger_index": drawn.ref.ledger_index,
        "threshold": float(terms.threshold),
        "threshold_unverified": is_unverified(gate, "quality", "recall_threshold"),
        "confidence": float(terms.confidence),
        "good_share": float(terms.good_share),
        "good_accepted": float(terms.good_accepted),
        "pictures": sample.population,
        "sampled": len(sample.pictures),
        "reviewed": len(looked.counts),
        "corrected": looked.corrected,
        "false_masks": sum(each.false_masks for each in looked.counts.values()),
        "kinds": {kind: _of_kind(looked, kind) for kind in KINDS},
        "nonconforming_pictures": [
            {"picture": p.number, "item": p.item, "index": p.index}
            for p in sample.pictures
            if p.number in looked.counts and not looked.counts[p.number].conforms
        ],
        "records": [
            {
                "reviewer": each.reviewer,
                "signed_at": each.signed_at,
                "ledger_index": each.ledger_index,
                "pictures": len(each.counts),
                "counts": not each.fault,
                **({"fault": each.fault} if each.fault else {}),
            }
            for each in looked.records
        ],
    }


def quality_summary(gate: Gate, session: ReadSession, built: Built) -> dict[str, Any]:
    """The report with the release's id and digest and the numbers of pictures that wait; errors as above."""
    report = quality_report_of(gate, session, built) or {"standing": Quality.NO_PICTURES.value}
    looked = looked_at(gate, session, built) if "sample" in report else None
    waiting = [] if looked is None else [p.number for p in looked.sample.pictures]
    return {
        "release": built.terms.release,
        "digest": built.digest,
        **report,
        "waiting": [number for number in waiting if looked is not None and number not in looked.counts],
    }


def _of_kind(looked: Looked, kind: str) -> dict[str, Any]:
    of, confidence = proved(looked, kind), float(looked.sample.terms.confidence)
    seen = of.hits + of.misses
    conforming = sum(not each.of(kind).misses for each in looked.counts.values())
    return {
        "hits": of.hits,
        "misses": of.misses,
        "undecided": sum(each.of(kind).undecided for each in looked.counts.values()),
        "recall": of.recall,
        "lower_bound": of.lower_bound,
        "strata": {name: dict(each) for name, each in of.strata.items()},
        "found": {
            **asdict(proportion(of.hits, seen)),
            "lower_bound": least_share(of.hits, seen, confidence=confidence),
        },
        "clean_pictures": {
            **asdict(proportion(conforming, len(looked.counts))),
            "lower_bound": least_share(conforming, len(looked.counts), confidence=confidence),
        },
        "missed_by_side": _by_side(looked.counts.values(), kind),
        "by_light": _by_light(looked, kind),
    }


def _by_side(counts: Iterable[PictureCount], kind: str) -> dict[str, int]:
    """Missed ones by their longer side in pixels, as far as reviewers stated it."""
    found: Counter[str] = Counter()
    for each in counts:
        of = each.of(kind)
        found.update(next((name for end, name in _SIDES if side < end), ">=64") for side in of.missed_px)
        found[_UNKNOWN] += of.misses - len(of.missed_px)
    return {name: number for name, number in sorted(found.items()) if number}


def _by_light(looked: Looked, kind: str) -> dict[str, Mapping[str, int]]:
    found: dict[str, Counter[str]] = {}
    for picture in looked.sample.pictures:
        count = looked.counts.get(picture.number)
        if count is not None:
            of = count.of(kind)
            found.setdefault(picture.light or _UNKNOWN, Counter()).update(
                pictures=1, hits=of.masked, misses=of.misses
            )
    return {light: dict(each) for light, each in sorted(found.items())}
