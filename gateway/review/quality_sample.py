"""Which pictures of a candidate a person looks at: drawn once, by a key, and in the ledger before anybody looks.

1. Every picture of the batch, masked or not, has its place in the order of a keyed function, whose key comes from
   the release's secret and digest: nobody who submits can foresee it, and the gate can show it again.
2. Of each stratum (something was masked, nothing was, not known) the first so many are the sample, as the plan for
   its size says; the plan of each stratum must accept.
3. Sample, plan and inventory are evidence: sealed, chained to the build, attested by the ledger. There is one.
"""

import hashlib
import heapq
import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import rfc8785

from anonymize.media.acceptance import SamplingPlan, SamplingTerms, plan_sample
from gateway.database import ReadSession, WriteSession
from gateway.errors import EvidenceError
from gateway.flow import evidence
from gateway.flow.gate import Gate
from gateway.flow.law import sampling_terms
from gateway.flow.recording import Built, Stage
from gateway.flow.records import ReleaseRow
from gateway.flow.request import unlink_context
from gateway.review.quality_pictures import STRATA, PicturedItem
from gateway.vault.values import open_value


@dataclass(frozen=True, slots=True, kw_only=True)
class SampledPicture:
    """A picture to look at.

    Attributes:
        number: From 1, in the keyed order, which tells nothing of the stratum.
        item: Name of the released item.
        index: Which of its pictures, from 0.
        stratum: Whether something was masked in it.
        light: Its light, where known.
    """

    number: int
    item: str
    index: int
    stratum: str
    light: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A drawn sample.

    Attributes:
        terms: What the plans promise.
        plans: By stratum, in the order of ``STRATA``; strata without pictures have none.
        pictures: What to look at, by number.
        digest: SHA-256 over the RFC 8785 form of all that and the release digest: what reviewers sign.
    """

    terms: SamplingTerms
    plans: Mapping[str, SamplingPlan]
    pictures: tuple[SampledPicture, ...]
    digest: str

    @property
    def population(self) -> int:
        """Pictures of the batch."""
        return sum(plan.population for plan in self.plans.values())


def draw(built: Built, items: Sequence[PicturedItem], terms: SamplingTerms, seed: bytes) -> Sample:
    """Draw; the same arguments give the same sample."""
    of_stratum: dict[str, list[tuple[PicturedItem, int]]] = {stratum: [] for stratum in STRATA}
    for each in items:
        for index in range(each.pictures):
            of_stratum[each.stratum(index)].append((each, index))
    plans = {name: plan_sample(len(those), terms) for name, those in of_stratum.items() if those}
    chosen: list[tuple[bytes, int, PicturedItem]] = []
    for name, plan in plans.items():
        keyed = ((_place(seed, each.name, index), index, each) for each, index in of_stratum[name])
        chosen += heapq.nsmallest(plan.size, keyed, key=lambda one: one[0])
    pictures = tuple(
        SampledPicture(
            number=number, item=each.name, index=index, stratum=each.stratum(index), light=each.light
        )
        for number, (_, index, each) in enumerate(sorted(chosen, key=lambda one: one[0]), start=1)
    )
    digest = hashlib.sha256(rfc8785.dumps(_document(built, terms, plans, pictures))).hexdigest()
    return Sample(terms=terms, plans=plans, pictures=pictures, digest=digest)


def _place(seed: bytes, item: str, index: int) -> bytes:
    return hashlib.blake2b(f"{item}/{index}".encode(), key=seed, digest_size=16).digest()


def seed_of(gate: Gate, session: ReadSession | WriteSession, built: Built) -> bytes:
    """The key of a candidate's sample: HMAC-SHA-256 of its digest under the release's secret."""
    row = session.get_one(ReleaseRow, built.terms.release)
    secret = open_value(
        gate.keystore, kek_id=row.kek_id, context=unlink_context(row.id), sealed=row.unlink_sealed
    )
    message = rfc8785.dumps({"digest": built.digest, "use": "fleetgate-quality-sample-1"})
    return hmac.new(secret, message, hashlib.sha256).digest()


def evidence_of(sample: Sample, items: Iterable[PicturedItem], seed: bytes) -> dict[str, Any]:
    """What is sealed and attested of a sample, from which it can be drawn again."""
    return {
        "commitment": hashlib.sha256(seed).hexdigest(),
        "inventory": [each.as_dict() for each in items],
        "sample": sample.digest,
        "terms": terms_document(sample.terms),
    }


def load_sample(gate: Gate, session: ReadSession | WriteSession, built: Built) -> Sample | None:
    """The sample of a candidate, drawn again and compared with what the ledger attests; None if none was drawn.

    Raises:
        EvidenceError: It does not verify, or is not the one that the key gives.
    """
    release = built.terms.release
    if not evidence.find(session, owner=release, stage=Stage.SAMPLED):
        return None
    payload = evidence.load(
        gate, session, owner=release, stage=Stage.SAMPLED, previous=built.evidence.digest
    ).payload
    seed = seed_of(gate, session, built)
    terms = SamplingTerms(**{name: Fraction(value) for name, value in payload["terms"].items()})
    items = [PicturedItem.from_dict(each) for each in payload["inventory"]]
    sample = draw(built, items, terms, seed)
    if (sample.digest, hashlib.sha256(seed).hexdigest()) != (payload["sample"], payload["commitment"]):
        raise EvidenceError(f"the quality sample of release {release} is not the one that its key gives")
    return sample


def terms_in_force(gate: Gate) -> SamplingTerms:
    """What policy data in force asks of a sample.

    Raises:
        ConfigurationError: It lacks a number.
    """
    return SamplingTerms(**{name: Fraction(str(value)) for name, value in sampling_terms(gate).items()})


def terms_document(terms: SamplingTerms) -> dict[str, str]:
    """Terms as exact fractions."""
    names = ("threshold", "confidence", "good_share", "good_accepted")
    return {name: str(getattr(terms, name)) for name in names}


def _document(
    built: Built,
    terms: SamplingTerms,
    plans: Mapping[str, SamplingPlan],
    pictures: Iterable[SampledPicture],
) -> dict[str, Any]:
    return {
        "release": built.terms.release,
        "digest": built.digest,
        "terms": terms_document(terms),
        "plans": {name: [plan.population, plan.size, plan.allowed] for name, plan in plans.items()},
        "pictures": [[each.number, each.item, each.index, each.stratum, each.light] for each in pictures],
    }
