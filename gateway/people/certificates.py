"""Surveying certificates, their interruptions and renewals: who may survey what, where and when (A1, rule 7)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum

import sqlalchemy as sa

from gateway.database import ReadSession, WriteSession
from gateway.errors import ConflictError, InvalidRequestError, NotFoundError
from gateway.flow.gate import Gate
from gateway.people.papers import Act, NewPaper, Paper, papers, require_text, sign_paper
from gateway.people.records import CertificateRow
from gateway.people.registry import Actor
from gateway.vault.jws import PrivateKey

GRADES = ("A", "B")


class Change(StrEnum):
    """What may happen to a certificate after it was granted."""

    SUSPEND = "suspend"
    REINSTATE = "reinstate"
    WITHDRAW = "withdraw"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCertificate:
    """A surveying certificate to register.

    Attributes:
        number: Its number.
        kinds: Kinds as policy data names them.
        grade: ``A`` (甲级) or ``B`` (乙级).
        holder: The unit that holds it.
        regions: Leading digits of GB/T 2260 codes.
        valid_from: From when.
        valid_to: Until when, excluded.
        renews: Number of the certificate that it continues.
        unverified: Nobody checked the original.
    """

    number: str
    kinds: Sequence[str]
    grade: str
    holder: str
    regions: Sequence[str]
    valid_from: datetime
    valid_to: datetime
    renews: str | None = None
    unverified: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Interruption:
    """A time in which a certificate gives no right.

    Attributes:
        kind: ``suspended`` or ``withdrawn``.
        start: From when.
        end: Until when, excluded; the end of the certificate where nobody reinstated it.
        reason: Why, as the officer states it.
    """

    kind: str
    start: datetime
    end: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A certificate as its papers state it.

    Attributes:
        since: From when it, or certificates that it renews without a gap, gave the same right.
        grade: None of one that was registered before grades were; it suffices for nothing.
        holder: None likewise.
        interruptions: Of it and of those that it renews.
        paper: The paper that registered it; None of one that no paper states.
    """

    number: str
    kinds: tuple[str, ...]
    grade: str | None
    holder: str | None
    regions: tuple[str, ...]
    valid_from: datetime
    valid_to: datetime
    since: datetime
    renews: str | None
    unverified: bool
    interruptions: tuple[Interruption, ...] = ()
    document: str = ""
    paper: Paper | None = None

    def covers(self, region: str) -> bool:
        """Whether the region's code begins with one of the certificate's."""
        return any(region.startswith(prefix) for prefix in self.regions)

    def valid_at(self, moment: datetime) -> bool:
        """Whether it gives a right at a moment, whatever its kind."""
        interrupted = any(each.start <= moment < each.end for each in self.interruptions)
        return self.valid_from <= moment < self.valid_to and not interrupted

    def gave_right_throughout(self, start: datetime, end: datetime) -> bool:
        """Whether it, or what it renews without a gap, gave a right at every moment from one to another."""
        apart = all(end < each.start or each.end <= start for each in self.interruptions)
        return self.since <= start and end < self.valid_to and apart

    @property
    def standing(self) -> str:
        """What the newest change left it in: ``granted``, ``suspended`` or ``withdrawn``."""
        open_ended = [each.kind for each in self.interruptions if each.end == self.valid_to]
        return open_ended[-1] if open_ended else "granted"


def register_certificate(
    gate: Gate, certificate: NewCertificate, document: bytes, *, actor: Actor, key: PrivateKey
) -> str:
    """Register a surveying certificate with its scan; returns the paper's digest.

    Raises:
        ForbiddenError: The person is no compliance officer.
        InvalidRequestError: The period is empty, a name or grade is not acceptable, or no kind or region is named.
        NotFoundError: What it renews is not registered.
        ConflictError: The number is registered.
    """

    def admit(_: WriteSession) -> None:
        if certificate.valid_to <= certificate.valid_from or not certificate.kinds or not certificate.regions:
            raise InvalidRequestError(f"certificate needs a period, kinds and regions (got {certificate})")
        if certificate.grade not in GRADES:
            raise InvalidRequestError(f"no such grade (got {certificate.grade!r}, expected one of {GRADES})")
        require_text("holder", certificate.holder)
        _require_codes(certificate.regions)
        registered = {each.number for each in _stated(gate)}
        if certificate.number in registered:
            raise ConflictError(f"certificate is registered (got {certificate.number!r})")
        if certificate.renews is not None and certificate.renews not in registered:
            raise NotFoundError(f"no such certificate to renew (got {certificate.renews!r})")

    terms = {
        "grade": certificate.grade,
        "holder": certificate.holder,
        "kinds": list(certificate.kinds),
        "regions": list(certificate.regions),
        "renews": certificate.renews,
        "unverified": certificate.unverified,
        "valid_from": _text(certificate.valid_from),
        "valid_to": _text(certificate.valid_to),
    }
    paper = NewPaper(act=Act.CERTIFICATE_REGISTER, subject=certificate.number, terms=terms, document=document)
    return sign_paper(gate, paper, actor=actor, key=key, admit=admit)


def _require_codes(regions: Iterable[str]) -> None:
    for region in regions:
        if not (2 <= len(region) <= 6 and region.isascii() and region.isdigit()):  # noqa: PLR2004 (GB/T 2260)
            raise InvalidRequestError(
                f"no leading digits of a GB/T 2260 code (got {region!r}, expected 2 to 6)"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class NewChange:
    """A suspension, reinstatement or withdrawal to record; ``since`` may lie in the past or ahead."""

    number: str
    change: Change
    since: datetime
    reason: str


def change_certificate(
    gate: Gate, change: NewChange, document: bytes | None, *, actor: Actor, key: PrivateKey
) -> str:
    """Suspend, reinstate or withdraw a certificate from a date, for a reason; returns the paper's digest.

    Raises:
        ForbiddenError: The person is no compliance officer.
        NotFoundError: No such certificate is registered.
        InvalidRequestError: There is no reason.
        ConflictError: It is withdrawn, or is not suspended and would be reinstated, or the date lies before that
            of its last change.
    """

    def admit(_: WriteSession) -> None:
        require_text("reason", change.reason)
        certificate = next((each for each in _stated(gate) if each.number == change.number), None)
        if certificate is None:
            raise NotFoundError(f"no such certificate (got {change.number!r})")
        last = certificate.interruptions[-1] if certificate.interruptions else None
        expected = {"suspended"} if change.change is Change.REINSTATE else {"granted", "suspended"}
        if certificate.standing not in expected:
            raise ConflictError(f"certificate is {certificate.standing} (expected one of {sorted(expected)})")
        if last is not None and change.since < last.start:
            raise ConflictError(
                f"an earlier change is of a later date (got {change.since}, last {last.start})"
            )

    terms = {"change": change.change.value, "reason": change.reason, "since": _text(change.since)}
    paper = NewPaper(act=Act.CERTIFICATE_CHANGE, subject=change.number, terms=terms, document=document)
    return sign_paper(gate, paper, actor=actor, key=key, admit=admit)


def certificates(
    gate: Gate, session: ReadSession | WriteSession, *, below: int | None = None
) -> tuple[Certificate, ...]:
    """Every certificate in the order of its number, those of old registrations among them.

    Args:
        gate: The gate.
        session: Where old registrations are looked up.
        below: Only what papers before this entry of the ledger state.

    Raises:
        EvidenceError: A paper does not verify, or is missing.
    """
    stated = {each.number: each for each in _stated(gate, below)}
    old = [row for row in session.scalars(sa.select(CertificateRow)) if row.number not in stated]
    chained = [_chained(each, stated) for each in stated.values()]
    return tuple(sorted([*chained, *map(_unsigned, old)], key=lambda each: each.number))


def _stated(gate: Gate, below: int | None = None) -> tuple[Certificate, ...]:
    registered: dict[str, Certificate] = {}
    for paper in papers(gate, Act.CERTIFICATE_REGISTER, Act.CERTIFICATE_CHANGE, below=below):
        if paper.act is Act.CERTIFICATE_REGISTER:
            registered[paper.subject] = _registered(paper)
        elif paper.subject in registered:
            registered[paper.subject] = _after(registered[paper.subject], paper)
    return tuple(registered.values())


def _registered(paper: Paper) -> Certificate:
    terms = paper.terms
    start, end = datetime.fromisoformat(terms["valid_from"]), datetime.fromisoformat(terms["valid_to"])
    return Certificate(
        number=paper.subject,
        kinds=tuple(terms["kinds"]),
        grade=terms["grade"],
        holder=terms["holder"],
        regions=tuple(terms["regions"]),
        valid_from=start,
        valid_to=end,
        since=start,
        renews=terms["renews"],
        unverified=terms["unverified"],
        document=paper.document or "",
        paper=paper,
    )


def _after(certificate: Certificate, paper: Paper) -> Certificate:
    """The certificate after a change; a suspension that goes over into a withdrawal ends where that begins."""
    since = datetime.fromisoformat(paper.terms["since"])
    gaps = list(certificate.interruptions)
    if gaps and gaps[-1].end == certificate.valid_to:
        gaps[-1] = replace(gaps[-1], end=since)
    if paper.terms["change"] != Change.REINSTATE:
        kind = "withdrawn" if paper.terms["change"] == Change.WITHDRAW else "suspended"
        end = max(certificate.valid_to, since)
        gaps.append(Interruption(kind=kind, start=since, end=end, reason=paper.terms["reason"]))
    return replace(certificate, interruptions=tuple(gaps))


def _chained(certificate: Certificate, stated: dict[str, Certificate]) -> Certificate:
    """The certificate with the time before it in which those that it renews gave at least the same right."""
    found, seen = certificate, {certificate.number}
    while (earlier := stated.get(found.renews or "")) is not None and earlier.number not in seen:
        if not _gives_as_much(earlier, certificate) or earlier.valid_to < found.since:
            break
        seen.add(earlier.number)
        gaps = (*earlier.interruptions, *found.interruptions)
        found = replace(found, since=earlier.valid_from, renews=earlier.renews, interruptions=gaps)
    return replace(found, renews=certificate.renews)


def _gives_as_much(earlier: Certificate, later: Certificate) -> bool:
    same = (earlier.holder, earlier.grade) == (later.holder, later.grade)
    return same and set(later.kinds) <= set(earlier.kinds) and all(map(earlier.covers, later.regions))


def _unsigned(row: CertificateRow) -> Certificate:
    return Certificate(
        number=row.number,
        kinds=tuple(row.kinds),
        grade=None,
        holder=None,
        regions=tuple(row.regions),
        valid_from=row.valid_from,
        valid_to=row.valid_to,
        since=row.valid_from,
        renews=None,
        unverified=row.unverified,
        document=row.document_digest,
    )


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()
