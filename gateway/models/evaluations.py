"""Evaluations that a compliance officer signed and stored, and what they say of the detectors behind a release."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from pydantic import TypeAdapter, ValidationError

from anonymize.media.detection import set_digest
from anonymize.media.evaluation import quality_document
from anonymize.media.model_card import ModelCard, embedded_cards
from anonymize.media.named_detector import name_for
from anonymize.media.quality import Quality, Recall
from audit.events import EventType
from gateway.database import ReadSession, WriteSession
from gateway.errors import EvidenceError
from gateway.flow.acts import recorded
from gateway.flow.gate import Gate
from gateway.models.loading import looks_of
from gateway.models.records import ModelEvaluationRow
from gateway.models.registry import registered_models
from gateway.models.statements import digest_of, verified
from gateway.people.permission import permit
from gateway.people.registry import ACT_TYPE, Actor
from gateway.vault.jws import PrivateKey, sign_statement, thumbprint


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvaluation:
    """An evaluation whose signature verified."""

    quality: Quality
    digest: str
    stored_by: str
    stored_at: datetime


def store_evaluation(gate: Gate, quality: Quality, *, actor: Actor, key: PrivateKey) -> StoredEvaluation:
    """Keep an evaluation's figures under a compliance officer's signature; the same figures are kept once.

    Raises:
        ForbiddenError: The person is no compliance officer; the attempt is in the ledger.
    """
    permit(gate, actor, "models.evaluate")
    payload = {"act": "models.evaluate", "person": actor.id, "quality": quality_document(quality)}
    statement = sign_statement(key, ACT_TYPE, thumbprint(key), payload)
    digest = digest_of(statement)
    digests = {
        **actor.digests,
        "dataset": quality.dataset_digest,
        "detectors": quality.detector_set_digest,
        "statement": digest,
    }
    facts: dict[str, str | int | bool] = {
        "images": quality.images,
        "kinds": ",".join(k.kind.value for k in quality.kinds),
    }
    with recorded(
        gate, EventType.MODELS_MODEL_EVALUATE, actor=actor.id, object_id=digest, digests=digests, facts=facts
    ) as session:
        row = session.get(ModelEvaluationRow, digest)
        if row is None:
            row = ModelEvaluationRow(
                digest=digest, statement=statement, stored_by=actor.id, stored_at=gate.clock()
            )
            session.add(row)
        return _verified(session, row)


def stored_evaluations(session: ReadSession | WriteSession) -> tuple[StoredEvaluation, ...]:
    """Every stored evaluation, verified, the oldest first.

    Raises:
        EvidenceError: One does not verify.
    """
    rows = session.scalars(
        sa.select(ModelEvaluationRow).order_by(ModelEvaluationRow.stored_at, ModelEvaluationRow.digest)
    )
    return tuple(_verified(session, row) for row in rows)


def _verified(session: ReadSession | WriteSession, row: ModelEvaluationRow) -> StoredEvaluation:
    what = f"evaluation {row.digest[:12]}"
    if digest_of(row.statement) != row.digest:
        raise EvidenceError(f"{what} has another digest (got {digest_of(row.statement)})")
    payload = verified(
        session, row.statement, signer=row.stored_by, what=what, expected={"act": "models.evaluate"}
    )
    try:
        quality = TypeAdapter(Quality).validate_python(payload.get("quality"))
    except ValidationError as error:
        raise EvidenceError(f"{what} holds no figures: {error}") from error
    return StoredEvaluation(
        quality=quality, digest=row.digest, stored_by=row.stored_by, stored_at=row.stored_at
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownDetector:
    """A detector as its card and use describe it, without loading it."""

    card: ModelCard
    use: str

    @property
    def name(self) -> str:
        """Its name in findings."""
        return name_for(self.card.name, looks_of(self.use))

    def as_dict(self) -> dict[str, Any]:
        """What dossiers say of it."""
        return {
            "name": self.name,
            "sha256": self.card.sha256,
            "licence": self.card.licence,
            "source": self.card.source,
            "use": self.use,
            "kinds": sorted({kind.value for kind in self.card.classes.values()}),
        }


def quality_of(session: ReadSession | WriteSession, detector_set: str) -> dict[str, Any]:
    """What was measured of the detectors that cleansing evidence names by their set's digest, JSON-ready.

    ``detectors`` lists name, digest, licence, source and use of each; it is empty where the set was never that
    of this gate's registry with the installed embedded models. ``measured`` lists the figures of every
    evaluation by this very set, and of those by single detectors in it, embedded cards included; where nothing
    was measured it is empty.

    Args:
        session: Where registrations and evaluations are read.
        detector_set: ``detector_set_digest`` of the evidence.

    Raises:
        EvidenceError: A registration or evaluation does not verify.
        ModelError: An embedded card is missing or malformed.
    """
    detectors = _set_of(session, detector_set)
    chosen = quality_of_detectors(session, {d.card.sha256 for d in detectors}, detector_set=detector_set)
    return {
        "detector_set": detector_set,
        "detectors": [detector.as_dict() for detector in detectors],
        "measured": [figures for quality in chosen for figures in summary(quality)],
    }


def _set_of(session: ReadSession | WriteSession, detector_set: str) -> tuple[KnownDetector, ...]:
    """The detectors of a set: what was in use before the first, or right after any, change of the registry."""
    models = registered_models(session)
    changes = {m.added_at for m in models} | {m.retired_at for m in models if m.retired_at is not None}
    embedded = tuple(KnownDetector(card=card, use="both") for card in embedded_cards())
    for moment in (None, *sorted(changes, reverse=True)):
        added = (
            KnownDetector(card=m.card, use=m.use)
            for m in models
            if moment is not None and m.added_at <= moment and (m.retired_at is None or m.retired_at > moment)
        )
        together = (*embedded, *added)
        parts = ((d.name, d.card.sha256, set(d.card.classes.values())) for d in together)
        if set_digest(parts) == detector_set:
            return together
    return ()


def quality_of_detectors(
    session: ReadSession | WriteSession, digests: Collection[str], *, detector_set: str | None = None
) -> tuple[Quality, ...]:
    """Figures of cards and stored evaluations that rest on these model files only, or on this very set.

    Args:
        session: Where registrations and evaluations are read.
        digests: SHA-256 of model files.
        detector_set: ``detector_set_digest`` of a set whose figures are wanted too.

    Raises:
        EvidenceError: A registration or evaluation does not verify.
    """
    cards = (*embedded_cards(), *(model.card for model in registered_models(session)))
    known = [e.quality for e in stored_evaluations(session)] + [q for card in cards for q in card.quality]
    return tuple(
        quality
        for quality in known
        if quality.detector_set_digest == detector_set
        or {d.sha256 for d in quality.detectors} <= set(digests)
    )


def summary(quality: Quality) -> Iterator[dict[str, Any]]:
    """One line of figures for each kind, with the intervals and what they rest on."""
    for kind in quality.kinds:
        yield {
            "dataset": quality.dataset,
            "dataset_digest": quality.dataset_digest,
            "images": quality.images,
            "measured_on": quality.measured_on,
            "detectors": [d.name for d in quality.detectors],
            "detector_set": quality.detector_set_digest,
            "treatment": quality.treatment_digest,
            "kind": kind.kind.value,
            **_figures(kind.all),
            "by_side": {name: _figures(recall) for name, recall in kind.by_side.items() if recall.found.of},
            "by_light": {name: _figures(recall) for name, recall in kind.by_light.items() if recall.found.of},
            "false_positives_per_image": kind.false_positives_per_image,
            "false_positives_are_upper_bound": not quality.labels_complete,
        }


def _figures(recall: Recall) -> dict[str, Any]:
    """Shares with the lower and upper bound of their 95 % intervals."""
    return {
        "objects": recall.found.of,
        "found": [recall.found.share, recall.found.low, recall.found.high],
        "covered": [recall.covered.share, recall.covered.low, recall.covered.high],
        "pixels": recall.pixels,
    }
