"""Where the look at a candidate's sample stands, and what it proves (COMPLIANCE rule 17).

A record counts by what the ledger attests, not by its row. Of several counts of one picture the last one counts;
the earlier ones stay, and how many were corrected is shown.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Any

import sqlalchemy as sa

from anonymize.media.acceptance import least_conforming
from audit.events import Event, EventType, Outcome
from audit.query import EntryFilter, find_all
from gateway.database import ReadSession, WriteSession
from gateway.errors import EvidenceError
from gateway.flow.cleanse import load_cleansed
from gateway.flow.gate import Gate
from gateway.flow.kinds.handling import has_pixels
from gateway.flow.permitted import standing_fault
from gateway.flow.recording import Built, Cleansed
from gateway.flow.records import QualityRecordRow, ReleaseItemRow, ReleaseRow
from gateway.people.records import PersonRow
from gateway.review.quality_counts import KINDS, PictureCount, record_context, verify_record
from gateway.review.quality_sample import Sample, load_sample
from gateway.vault.errors import VaultError
from gateway.vault.values import open_value

"""Who may count."""

_CHUNK = 500
_PLACES = 6


class Quality(StrEnum):
    """Where the look at a sample stands."""

    NO_PICTURES = "no_pictures"
    NOT_DRAWN = "not_drawn"
    PENDING = "pending"
    REACHED = "reached"
    MISSED = "missed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A record that the ledger attests for a candidate's sample.

    Attributes:
        reviewer: Who counted.
        ledger_index: Where the ledger attests it.
        signed_at: When, by the reviewer.
        counts: What was counted; empty where the record does not count.
        fault: Why it does not count; empty where it does.
    """

    reviewer: str
    ledger_index: int
    signed_at: str
    counts: tuple[PictureCount, ...]
    fault: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """A sample and the count that stands for each of its pictures so far.

    Attributes:
        sample: The sample.
        counts: By number of the picture.
        records: All that the ledger attests, oldest first.
        corrected: How often a count took the place of another one.
    """

    sample: Sample
    counts: Mapping[int, PictureCount]
    records: tuple[Record, ...]
    corrected: int

    @property
    def left(self) -> int:
        """Pictures that nobody counted yet."""
        return len(self.sample.pictures) - len(self.counts)

    @property
    def nonconforming(self) -> int:
        """Counted pictures in which something still shows, or may."""
        return sum(not each.conforms for each in self.counts.values())

    def standing(self) -> Quality:
        """What follows: the threshold is reached only if each kind reaches it in each stratum and as recall."""
        if not self.sample.pictures:
            return Quality.NO_PICTURES
        if self.left:
            return Quality.PENDING
        threshold = self.sample.terms.threshold
        reached = all(
            Fraction(str(of.lower_bound)) >= threshold
            and (of.recall is None or Fraction(str(of.recall)) >= threshold)
            for of in (proved(self, kind) for kind in KINDS)
        )
        return Quality.REACHED if reached else Quality.MISSED


@dataclass(frozen=True, slots=True, kw_only=True)
class Proved:
    """What a sample proves about one kind.

    Attributes:
        kind: ``face`` or ``plate``.
        hits: Masked ones that were counted.
        misses: Missed and undecided ones.
        recall: Estimated share of masked ones in the batch, each stratum weighted by how many pictures stand for
            one of the sample (Cochran §5A: a combined ratio), rounded down; None where none was seen.
        strata: By stratum: pictures, size of the sample, those that do not conform in this kind (not counted yet
            included), how many are allowed, and the lower bound of the conforming share.
    """

    kind: str
    hits: int
    misses: int
    recall: float | None
    strata: Mapping[str, Mapping[str, int | float]]

    @property
    def lower_bound(self) -> float:
        """The least of the strata's bounds: that of the batch is no lower."""
        return min((float(of["lower_bound"]) for of in self.strata.values()), default=0.0)


def proved(looked: Looked, kind: str) -> Proved:
    """What the counts prove about a kind; pictures that nobody counted stand as if they did not conform."""
    sample, strata = looked.sample, {}
    hits = misses = 0
    weighted_hits = weighted_misses = Fraction(0)
    for stratum, plan in sample.plans.items():
        counts = [looked.counts.get(p.number) for p in sample.pictures if p.stratum == stratum]
        seen = [each.of(kind) for each in counts if each is not None]
        bad = len(counts) - len(seen) + sum(each.misses > 0 for each in seen)
        strata[stratum] = {
            "pictures": plan.population,
            "sampled": plan.size,
            "nonconforming": bad,
            "allowed": plan.allowed,
            "lower_bound": least_conforming(
                plan.population, plan.size, bad, confidence=sample.terms.confidence
            ),
        }
        weight = Fraction(plan.population, plan.size)
        masked, missed = sum(each.masked for each in seen), sum(each.misses for each in seen)
        hits, misses = hits + masked, misses + missed
        weighted_hits, weighted_misses = weighted_hits + weight * masked, weighted_misses + weight * missed
    there = weighted_hits + weighted_misses
    recall = int(weighted_hits / there * 10**_PLACES) / 10**_PLACES if there else None
    return Proved(kind=kind, hits=hits, misses=misses, recall=recall, strata=strata)


def looked_at(gate: Gate, session: ReadSession | WriteSession, built: Built) -> Looked | None:
    """The sample of a candidate and what was counted in it, every record verified again; None if none was drawn.

    Raises:
        EvidenceError: The sample does not verify, or a record that the ledger attests is gone or altered.
    """
    sample = load_sample(gate, session, built)
    if sample is None:
        return None
    records = tuple(_records(gate, session, built, sample))
    counts: dict[int, PictureCount] = {}
    corrected = 0
    for record in records:
        for each in record.counts:
            corrected += each.picture in counts and counts[each.picture] != each
            counts[each.picture] = each
    return Looked(sample=sample, counts=counts, records=records, corrected=corrected)


def _records(
    gate: Gate, session: ReadSession | WriteSession, built: Built, sample: Sample
) -> Iterator[Record]:
    for index, event in _attested(gate, built.terms.release):
        if event.digests.get("sample") != sample.digest:
            continue
        statement = _statement(gate, session, built, event)
        person = session.get(PersonRow, event.actor)
        fault, signed_at = standing_fault(gate, person, "quality.record", built.terms.submitter), ""
        counts: tuple[PictureCount, ...] = ()
        if person is not None and not fault:
            try:
                found, signed_at = verify_record(built, sample, statement, person)
                counts = tuple(found)
            except EvidenceError as error:
                fault = str(error)
        yield Record(
            reviewer=event.actor, ledger_index=index, signed_at=signed_at, counts=counts, fault=fault
        )


def _statement(gate: Gate, session: ReadSession | WriteSession, built: Built, event: Event) -> str:
    """The signed statement that the ledger names: a miss that somebody saw does not vanish with its row."""
    digest = event.digests["statement"]
    row = session.get(QualityRecordRow, digest)
    if row is None:
        raise EvidenceError(f"counts of release {built.terms.release} are not held (got {digest})")
    kek = session.get_one(ReleaseRow, built.terms.release).kek_id
    try:
        statement = open_value(
            gate.keystore, kek_id=kek, context=record_context(built.terms.release, digest), sealed=row.sealed
        )
    except VaultError as error:
        raise EvidenceError(f"counts of release {built.terms.release} do not open: {error}") from error
    if hashlib.sha256(statement).hexdigest() != digest:
        raise EvidenceError(f"counts of release {built.terms.release} are not those that the ledger attests")
    return statement.decode()


def _attested(gate: Gate, release: str) -> list[tuple[int, Event]]:
    wanted = EntryFilter(release=release, types=(EventType.REVIEW_QUALITY_RECORD,), outcome=Outcome.COMPLETED)
    with gate.ledger.snapshot() as snapshot:
        return [(entry.index, entry.event) for entry in find_all(snapshot, wanted)]


def failed_before(gate: Gate, session: ReadSession | WriteSession, built: Built) -> int:
    """Other candidates with an item of this one in which a miss was counted and the threshold was not reached.

    Who offers the same treated items again gets another sample. Without this, one would in the end fit.
    """
    sources = [item.source for item in built.items]
    others: set[str] = set()
    for start in range(0, len(sources), _CHUNK):
        statement = sa.select(ReleaseItemRow.release_id).where(
            ReleaseItemRow.item_id.in_(sources[start : start + _CHUNK]),
            ReleaseItemRow.release_id != built.terms.release,
        )
        others |= set(session.scalars(statement))
    return sum(_failed(gate, other) for other in others)


def _failed(gate: Gate, release: str) -> bool:
    """Whether the last that the ledger attests of a candidate's counts is a miss that was not outweighed."""
    attested = _attested(gate, release)
    if not attested:
        return False
    facts = attested[-1][1].facts
    return facts["standing"] == Quality.MISSED or (
        facts["standing"] == Quality.PENDING and int(facts["nonconforming"]) > 0
    )


def quality_facts(
    gate: Gate, session: ReadSession | WriteSession, built: Built, cleansed: Iterable[Cleansed]
) -> dict[str, Any]:
    """What policy is told of the look at a candidate's pictures.

    Raises:
        EvidenceError: The sample, or a record, does not verify.
    """
    with_pictures = sum(has_pixels(each) for each in cleansed)
    looked = looked_at(gate, session, built) if with_pictures else None
    if looked is None:
        return {
            "counted": not with_pictures,
            "pictures": with_pictures,
            "sampled": 0,
            "reviewed": 0,
            "confidence": 0,
            "sample_digest": None,
            "failed_before": 0,
            "kinds": [],
        }
    kinds = [proved(looked, kind) for kind in KINDS]
    return {
        "counted": True,
        "pictures": looked.sample.population,
        "sampled": len(looked.sample.pictures),
        "reviewed": len(looked.counts),
        "confidence": float(looked.sample.terms.confidence),
        "sample_digest": looked.sample.digest,
        "failed_before": failed_before(gate, session, built),
        "kinds": [
            {
                "kind": of.kind,
                "hits": of.hits,
                "misses": of.misses,
                "recall": of.recall,
                "lower_bound": of.lower_bound,
            }
            for of in kinds
        ],
    }


def quality_standing(gate: Gate, session: ReadSession | WriteSession, built: Built) -> Quality:
    """Where the look at a candidate's pictures stands now.

    Raises:
        EvidenceError: An item, the sample, or a record does not verify.
    """
    sources: Sequence[Cleansed] = [load_cleansed(gate, session, item.source) for item in built.items]
    if not any(has_pixels(each) for each in sources):
        return Quality.NO_PICTURES
    looked = looked_at(gate, session, built)
    return Quality.NOT_DRAWN if looked is None else looked.standing()
