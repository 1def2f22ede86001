"""Facts about surveying certificates and delegations, as every question about recordings carries them (rule 7)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gateway.database import ReadSession, WriteSession
from gateway.flow.deciding import instant
from gateway.flow.gate import Gate
from gateway.people.certificates import Certificate
from gateway.people.delegations import Delegation, delegations, unit_of
from gateway.people.suitability import Surveyed, certificate_for
from gateway.vehicles.manifest import Manifest


def surveyed_of(gate: Gate, manifest: Manifest, *, below: int | None = None) -> Surveyed:
    """For whom, by what, where and when a recording was surveyed, as papers before an entry state it.

    Raises:
        EvidenceError: A paper does not verify, or is missing.
    """
    return Surveyed(
        unit=unit_of(gate, manifest.vehicle, manifest.started_at, below=below),
        vehicle=manifest.vehicle,
        region=manifest.region,
        started_at=manifest.started_at,
        ended_at=manifest.ended_at,
    )


def surveyed_facts(surveyed: Surveyed) -> dict[str, Any]:
    """What policy is told of how a recording was surveyed (rule 7)."""
    return {
        "unit": surveyed.unit,
        "vehicle": surveyed.vehicle,
        "region": surveyed.region,
        "started_at": instant(surveyed.started_at),
        "ended_at": instant(surveyed.ended_at),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Licence:
    """What recordings are judged by.

    Attributes:
        certificate: The one that fits best; None where none is registered.
        delegations: Those of the units that collected.
    """

    certificate: Certificate | None
    delegations: tuple[Delegation, ...]

    def facts(self) -> dict[str, Any]:
        """What policy is told."""
        return {
            "certificate": None if self.certificate is None else certificate_facts(self.certificate),
            "delegations": [delegation_facts(each) for each in self.delegations],
        }

    def digests(self) -> dict[str, str]:
        """The signed paper that the certificate rests on, by its digest; empty where none states it."""
        paper = None if self.certificate is None else self.certificate.paper
        return {} if paper is None else {"certificate": paper.digest}


def licence_of(gate: Gate, session: ReadSession | WriteSession, surveyed: Sequence[Surveyed]) -> Licence:
    """The certificate and delegations that recordings are judged by.

    Raises:
        EvidenceError: A paper does not verify, or is missing.
    """
    units = {each.unit for each in surveyed}
    return Licence(
        certificate=certificate_for(gate, session, surveyed, gate.clock()),
        delegations=tuple(each for each in delegations(gate) if each.delegator in units),
    )


def licence_facts(
    gate: Gate, session: ReadSession | WriteSession, surveyed: Sequence[Surveyed]
) -> dict[str, Any]:
    """The certificate that recordings are judged by, None without any, and the delegations of their units."""
    return licence_of(gate, session, surveyed).facts()


def certificate_facts(certificate: Certificate) -> dict[str, Any]:
    """What policy is told of a surveying certificate (rule 7)."""
    return {
        "number": certificate.number,
        "kinds": list(certificate.kinds),
        "grade": certificate.grade,
        "holder": certificate.holder,
        "regions": list(certificate.regions),
        "since": instant(certificate.since),
        "valid_from": instant(certificate.valid_from),
        "valid_to": instant(certificate.valid_to),
        "interruptions": [
            {"kind": each.kind, "from": instant(each.start), "to": instant(each.end)}
            for each in certificate.interruptions
        ],
        "unverified": certificate.unverified,
    }


def delegation_facts(delegation: Delegation) -> dict[str, Any]:
    """What policy is told of a delegation (A6)."""
    return {
        "id": delegation.id,
        "delegator": delegation.delegator,
        "certificate": delegation.certificate,
        "vehicles": list(delegation.sources),
        "kinds": list(delegation.kinds),
        "regions": list(delegation.regions),
        "valid_from": instant(delegation.valid_from),
        "valid_to": instant(delegation.valid_to),
    }
