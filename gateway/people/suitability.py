"""Which of several certificates recordings are judged by: what policy has least to object to (rule 7)."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from gateway.database import ReadSession, WriteSession
from gateway.errors import ConfigurationError
from gateway.flow.gate import Gate
from gateway.flow.law import parameter
from gateway.people.certificates import Certificate, certificates
from gateway.people.delegations import ANY, Delegation, delegations


@dataclass(frozen=True, slots=True, kw_only=True)
class Surveyed:
    """For whom, by what, where and when a recording was surveyed.

    Attributes:
        unit: The unit that its vehicle or carrier collected for; None where nobody stated it.
        vehicle: Id of the vehicle or carrier.
        region: Code of GB/T 2260.
        started_at: Begin of the drive.
        ended_at: Its end.
    """

    unit: str | None
    vehicle: str
    region: str
    started_at: datetime
    ended_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SurveyingTerms:
    """What policy data demands of a certificate on a day.

    Attributes:
        kinds: Kinds of surveying that cover vehicle data.
        digits: Least number of digits of the region codes that a certificate names, by its grade (甲级 A, 乙级 B).
    """

    kinds: frozenset[str]
    digits: Mapping[str, int]

    def covers_vehicle_data(self, kinds: Collection[str]) -> bool:
        """Whether one of the kinds of a certificate or delegation does."""
        return not self.kinds.isdisjoint(kinds)

    def admits_grade_of(self, certificate: Certificate) -> bool:
        """Whether the certificate has a grade, and names no wider region than its grade surveys."""
        digits = self.digits.get(certificate.grade or "")
        return digits is not None and all(len(region) >= digits for region in certificate.regions)


def surveying_terms(gate: Gate, moment: datetime) -> SurveyingTerms:
    """The terms in force at a moment; what policy data does not name then, no certificate satisfies."""
    day = moment.astimezone(UTC).date()
    try:
        kinds = parameter(gate, "surveying", "certificate_kinds", day)["value"]
        digits = parameter(gate, "surveying", "grade_region_digits", day)["value"]
    except ConfigurationError:  # policy denies by the same gap, and says so; the choice alone refuses nobody
        return SurveyingTerms(kinds=frozenset(), digits={})
    return SurveyingTerms(kinds=frozenset(kinds), digits={grade: int(n) for grade, n in digits.items()})


def best_suited(
    registered: Sequence[Certificate],
    delegated: Sequence[Delegation],
    surveyed: Sequence[Surveyed],
    *,
    terms: SurveyingTerms,
    now: datetime,
) -> Certificate | None:
    """The certificate to judge recordings by: policy alone says whether it suffices, and what fails.

    One that policy allows comes before every one that it refuses. Among the others weighs, in this order: that the
    units hold it or delegated to its holder, region, being valid now, kind, limits of its grade, having given the
    right throughout each drive, and that a delegation is of these vehicles and regions. Of equals one that the
    units hold themselves comes first, then the first of ``registered``.

    Args:
        registered: The certificates, in a stable order.
        delegated: The delegations.
        surveyed: The recordings; what more of them have weighs more.
        terms: What policy demands.
        now: When is asked.

    Returns:
        None where none is registered.
    """
    live = [each for each in delegated if each.valid_from <= now < each.valid_to]

    def entitles(delegation: Delegation, each: Surveyed) -> bool:
        return (
            delegation.valid_from <= each.started_at
            and any(each.region.startswith(prefix) for prefix in delegation.regions)
            and terms.covers_vehicle_data(delegation.kinds)
            and not {ANY, each.vehicle}.isdisjoint(delegation.sources)
        )

    def suits(certificate: Certificate, each: Surveyed) -> tuple[bool, ...]:
        held = certificate.holder is not None and certificate.holder == each.unit
        given = [d for d in live if (d.certificate, d.delegator) == (certificate.number, each.unit)]
        return (
            held or bool(given),
            certificate.covers(each.region),
            certificate.valid_at(now),
            terms.covers_vehicle_data(certificate.kinds),
            terms.admits_grade_of(certificate),
            certificate.gave_right_throughout(each.started_at, each.ended_at),
            held or any(entitles(d, each) for d in given),
            held,
        )

    def fit(certificate: Certificate) -> tuple[int, ...]:
        return tuple(map(sum, zip(*(suits(certificate, each) for each in surveyed), strict=True)))

    return max(registered, key=fit, default=None)


def certificate_for(
    gate: Gate,
    session: ReadSession | WriteSession,
    surveyed: Sequence[Surveyed],
    now: datetime,
    *,
    below: int | None = None,
) -> Certificate | None:
    """The certificate to judge recordings by, of those registered; None without any (:func:`best_suited`).

    Args:
        gate: The gate.
        session: Where old registrations are looked up.
        surveyed: The recordings.
        now: When is asked.
        below: Only what papers before this entry of the ledger state.

    Raises:
        EvidenceError: A paper does not verify, or is missing.
    """
    return best_suited(
        certificates(gate, session, below=below),
        delegations(gate, below=below),
        surveyed,
        terms=surveying_terms(gate, now),
        now=now,
    )
