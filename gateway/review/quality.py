"""A sample of pictures before a person (COMPLIANCE rule 17): draw it, show it, record what is counted.

Drawing comes before looking, and there is one sample for each candidate. Who submitted the release counts nothing
in it (law 8).
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from anonymize.errors import AnonymizeError
from anonymize.media.frame_sheet import frame_sheet
from audit.events import Event, EventType
from gateway.database import ReadSession
from gateway.errors import (
    ApprovalInvalidError,
    ConflictError,
    EvidenceError,
    InvalidRequestError,
    NotFoundError,
    StageOrderError,
)
from gateway.flow import evidence
from gateway.flow.acts import intended, refused
from gateway.flow.build import load_built
from gateway.flow.cleanse import load_cleansed
from gateway.flow.deciding import instant
from gateway.flow.gate import Gate
from gateway.flow.kinds.handling import has_pixels
from gateway.flow.permitted import permit_on_release
from gateway.flow.recording import Built, ReleaseState, Stage
from gateway.flow.records import QualityRecordRow, ReleaseRow
from gateway.flow.request import known_release
from gateway.people.records import PersonRow
from gateway.people.registry import Actor
from gateway.review.quality_counts import (
    RECORD_TYPE,
    PictureCount,
    record_context,
    record_payload,
    require_sampled,
    verify_record,
)
from gateway.review.quality_pictures import picture_of, pictured_items
from gateway.review.quality_report import quality_summary
from gateway.review.quality_sample import (
    Sample,
    SampledPicture,
    draw,
    evidence_of,
    load_sample,
    seed_of,
    terms_in_force,
)
from gateway.review.quality_standing import Looked, looked_at
from gateway.vault.jws import PrivateKey, sign_statement, thumbprint
from gateway.vault.values import seal_value

_OPEN = (ReleaseState.BUILT, ReleaseState.JUDGED, ReleaseState.APPROVED)


def draw_sample(gate: Gate, release: str, *, actor: Actor) -> dict[str, Any]:
    """Draw the sample of a built candidate; it is in the ledger before anybody can look.

    Returns:
        As ``show_sample``.

    Raises:
        ForbiddenError: The person may not count.
        NotFoundError: There is no such release.
        StageOrderError: It was not built, or is closed.
        ConflictError: A sample was drawn; there is no second one. The attempt is in the ledger.
        InvalidRequestError: It shows no picture.
        EvidenceError: What it rests on does not verify.
    """
    permit_on_release(gate, actor, "quality.sample", release)
    with gate.database.read() as session:
        row = _open_row(known_release(session, release))
        built, kek = load_built(gate, session, release), row.kek_id
        sources = [load_cleansed(gate, session, item.source) for item in built.items]
        seed, drawn = seed_of(gate, session, built), load_sample(gate, session, built) is not None
    if drawn:
        _refuse(gate, EventType.REVIEW_QUALITY_SAMPLE, release, ConflictError.reason, actor=actor)
        raise ConflictError(
            f"the sample of this release was drawn, and there is no second one (got {release!r})"
        )
    event = intended(
        EventType.REVIEW_QUALITY_SAMPLE,
        actor=actor.id,
        object_id=release,
        release=release,
        digests={**actor.digests, "release": built.digest},
    )
    with gate.ledger.intent(event) as intent:
        try:
            if not any(has_pixels(each) for each in sources):
                raise InvalidRequestError(f"the release shows no picture (got {len(sources)} items)")
            items = pictured_items(gate, built, sources)
        except (AnonymizeError, InvalidRequestError) as error:
            intent.refuse(facts={"reason": error.reason})
            raise
        sample = draw(built, items, terms_in_force(gate), seed)
        payload = evidence_of(sample, items, seed)
        row_of_evidence = evidence.attest(
            gate,
            intent,
            owner=release,
            stage=Stage.SAMPLED,
            kek_id=kek,
            previous=built.evidence.digest,
            payload=payload,
            digests={"release": built.digest, "sample": sample.digest, "seed": payload["commitment"]},
            facts={"pictures": sample.population, "sampled": len(sample.pictures)},
        )
        with gate.database.transaction() as writing:
            writing.get_one(ReleaseRow, release, with_for_update=True)
            if not evidence.find(writing, owner=release, stage=Stage.SAMPLED):
                writing.add(row_of_evidence)
    return show_sample(gate, release, actor=actor)


def show_sample(gate: Gate, release: str, *, actor: Actor) -> dict[str, Any]:
    """Plan, progress and result of a candidate's sample, for a person; looking is itself an entry.

    Raises:
        ForbiddenError: The person holds none of the roles that review.
        NotFoundError: There is no such release.
        StageOrderError: It was not built.
        EvidenceError: What it rests on does not verify.
    """
    permit_on_release(gate, actor, "quality.show", release)
    with gate.database.read() as session:
        known_release(session, release)
    event = _reading(release, actor)
    with gate.ledger.intent(event) as intent, gate.database.read() as session:
        built = load_built(gate, session, release)
        summary = quality_summary(gate, session, built)
        intent.complete(facts={"pictures": 0})
        return summary


def show_pictures(
    gate: Gate, release: str, *, actor: Actor, numbers: Sequence[int] | None = None
) -> Iterator[tuple[int, bytes]]:
    """Pictures of a sample by number, each a PNG in its full size; looking is itself an entry.

    They are read from the released files, opened in memory, and carry who looks and when.

    Args:
        gate: The gate.
        release: Id of a release whose sample was drawn.
        actor: Who looks.
        numbers: Which, from 1; None for those that nobody counted yet.

    Raises:
        ForbiddenError: The person may not count.
        NotFoundError: There is no such release, no sample of it, or no such picture.
        StageOrderError: The release was not built.
        EvidenceError: What it rests on does not verify.
    """
    permit_on_release(gate, actor, "quality.frames", release)
    with gate.database.read() as session:
        built, looked = _looked(gate, known_release(session, release), session)
    pictures = looked.sample.pictures
    wanted = [p.number for p in pictures if p.number not in looked.counts] if numbers is None else numbers
    event = _reading(release, actor)
    with gate.ledger.intent(event) as intent:
        for number in wanted:
            if not 1 <= number <= len(pictures):
                intent.refuse(facts={"reason": NotFoundError.reason})
                raise NotFoundError(
                    f"the sample has no such picture (got {number}, expected 1 to {len(pictures)})"
                )
        for number in wanted:
            yield number, _sheet(gate, built, looked.sample, pictures[number - 1], actor)
        intent.complete(facts={"pictures": len(wanted)})


def _sheet(gate: Gate, built: Built, sample: Sample, picture: SampledPicture, actor: Actor) -> bytes:
    source = next(item.source for item in built.items if item.name == picture.item)
    with gate.database.read() as session:
        cleansed = load_cleansed(gate, session, source)
    image = picture_of(gate, built, cleansed, picture.item, picture.index)
    return frame_sheet(
        image,
        head=f"release {built.terms.release[:16]}  picture {picture.number} of {len(sample.pictures)}",
        foot=f"{actor.id}  {instant(gate.clock())}  sample {sample.digest[:16]}",
    )


def sign_counts(
    gate: Gate, release: str, counts: Iterable[PictureCount], *, reviewer: str, key: PrivateKey
) -> str:
    """Sign counts with the reviewer's own key.

    Raises:
        NotFoundError: There is no such release, or no sample of it.
        InvalidRequestError: A picture is not of the sample.
        StageOrderError: The release was not built.
    """
    counts = list(counts)
    with gate.database.read() as session:
        built, looked = _looked(gate, known_release(session, release), session)
    require_sampled(counts, looked.sample)
    payload = record_payload(built, looked.sample, reviewer, counts, gate.clock())
    return sign_statement(key, RECORD_TYPE, thumbprint(key), payload)


def record_counts(gate: Gate, release: str, statement: str, *, actor: Actor) -> dict[str, Any]:
    """Record a reviewer's signed counts; a later count of a picture takes the place of an earlier one.

    The row comes before the entry that attests it: after a crash between them they count for nothing, and are
    recorded again.

    Returns:
        As ``show_sample``.

    Raises:
        ForbiddenError: The person may not count.
        NotFoundError: There is no such release, or no sample of it.
        StageOrderError: The release is not built, or already closed.
        ApprovalInvalidError: The signature or its terms do not verify; the attempt is in the ledger.
        InvalidRequestError: The person submitted the release (law 8); the attempt is in the ledger.
        EvidenceError: What the release rests on does not verify.
    """
    permit_on_release(gate, actor, "quality.record", release)
    digest = hashlib.sha256(statement.encode()).hexdigest()
    with gate.database.read() as session:
        row = _open_row(known_release(session, release))
        built, kek = load_built(gate, session, release), row.kek_id
        sample = load_sample(gate, session, built)
        if sample is None:
            raise NotFoundError(f"no sample of this release was drawn (got {release!r})")
        person = session.get_one(PersonRow, actor.id)
    try:
        counts = _offered(built, sample, statement, person)
    except (ApprovalInvalidError, InvalidRequestError) as error:
        _refuse(gate, EventType.REVIEW_QUALITY_RECORD, release, error.reason, actor=actor)
        raise
    sealed = seal_value(
        gate.keystore, kek_id=kek, context=record_context(release, digest), plaintext=statement.encode()
    )
    record = QualityRecordRow(digest=digest, release_id=release, reviewer=actor.id, sealed=sealed)
    _record(gate, record, built, sample, counts, actor=actor)
    return show_sample(gate, release, actor=actor)


def _record(
    gate: Gate,
    record: QualityRecordRow,
    built: Built,
    sample: Sample,
    counts: Sequence[PictureCount],
    *,
    actor: Actor,
) -> None:
    """Put counts into the ledger with where they leave the sample, then their row into the database."""
    digests = {"release": built.digest, "sample": sample.digest, "statement": record.digest}
    event = intended(
        EventType.REVIEW_QUALITY_RECORD,
        actor=actor.id,
        object_id=record.release_id,
        release=record.release_id,
        digests={**actor.digests, **digests},
        facts={"pictures": len(counts)},
    )
    with gate.ledger.intent(event) as intent:
        with gate.database.transaction() as session:
            if session.get(QualityRecordRow, record.digest) is None:
                session.add(record)
        with gate.database.transaction() as session:
            # One at a time: each entry states where all before it, and it, leave the sample.
            session.get_one(ReleaseRow, record.release_id, with_for_update=True)
            before = looked_at(gate, session, built)
            after = Looked(
                sample=sample,
                counts=dict(before.counts if before else {}) | {each.picture: each for each in counts},
                records=(),
                corrected=0,
            )
            intent.complete(
                digests=digests,
                facts={
                    "pictures": len(counts),
                    "left": after.left,
                    "nonconforming": after.nonconforming,
                    "standing": after.standing().value,
                },
            )


def _open_row(row: ReleaseRow) -> ReleaseRow:
    if row.state not in _OPEN:
        raise StageOrderError(f"release is not open to a review (got state {row.state!r})")
    return row


def _looked(gate: Gate, row: ReleaseRow, session: ReadSession) -> tuple[Built, Looked]:
    built = load_built(gate, session, row.id)
    looked = looked_at(gate, session, built)
    if looked is None:
        raise NotFoundError(f"no sample of this release was drawn (got {row.id!r})")
    return built, looked


def _reading(release: str, actor: Actor) -> Event:
    return intended(
        EventType.REVIEW_QUALITY_READ,
        actor=actor.id,
        object_id=release,
        release=release,
        digests=actor.digests,
    )


def _refuse(gate: Gate, event_type: EventType, release: str, reason: str, *, actor: Actor) -> None:
    refused(gate, event_type, actor=actor.id, object_id=release, release=release, reason=reason)


def _offered(built: Built, sample: Sample, statement: str, person: PersonRow) -> list[PictureCount]:
    try:
        counts, _ = verify_record(built, sample, statement, person)
    except EvidenceError as error:
        raise ApprovalInvalidError(str(error)) from error
    return counts
