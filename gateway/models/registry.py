"""The model registry: what a compliance officer added under their signature and nobody has retired."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, get_args

import sqlalchemy as sa

from anonymize.errors import ModelError
from anonymize.media.model_card import ModelCard, card_of, embedded_cards
from audit.events import EventType
from gateway.database import ReadSession, WriteSession
from gateway.errors import ConflictError, EvidenceError, InvalidRequestError, NotFoundError
from gateway.flow.acts import recorded
from gateway.flow.gate import Gate
from gateway.models.records import ModelRow
from gateway.models.statements import card_text, digest_of, verified
from gateway.models.weights import store_weights
from gateway.people.permission import permit
from gateway.people.registry import ACT_TYPE, Actor
from gateway.vault.jws import PrivateKey, sign_statement, thumbprint

Use = Literal["masking", "residual", "both"]
USES: Final[tuple[str, ...]] = get_args(Use)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredModel:
    """A registered model whose signatures verified.

    Attributes:
        card: Its card.
        use: Which looks it takes: ``masking``, ``residual`` (it only looks at what was masked) or ``both``.
        added_by: Who signed.
        added_at: When.
        statement: SHA-256 of the signed statement.
        retired_at: When it was retired; None while it is in use.
    """

    card: ModelCard
    use: Use
    added_by: str
    added_at: datetime
    statement: str
    retired_at: datetime | None


def add_model(
    gate: Gate, card: ModelCard, content: bytes, *, use: str, actor: Actor, key: PrivateKey
) -> RegisteredModel:
    """Register a model under a compliance officer's signature; from then on every image passes it.

    Adding the same model again changes nothing. The file has to be verified (``loading.verify_model``) before.

    Args:
        gate: The gate.
        card: What the file is.
        content: The model file.
        use: One of ``USES``.
        actor: Who adds it.
        key: Their private key.

    Raises:
        ForbiddenError: The person is no compliance officer; the attempt is in the ledger.
        InvalidRequestError: ``use`` is unknown, or the card names a package.
        ModelError: The content is not the file that the card describes.
        ConflictError: The name is taken by another, an embedded or a retired model.
    """
    permit(gate, actor, "models.add", on=card.name)
    if use not in USES or card.package is not None:
        raise InvalidRequestError(
            f"a registered model has a use and no package (got {use!r}, {card.package!r}, expected one of {USES})"
        )
    if card.name in {embedded.name for embedded in embedded_cards()}:
        raise ConflictError(f"an embedded model has this name (got {card.name!r})")
    text = card_text(card)
    payload = _addition(card, text, use) | {"person": actor.id}
    statement = sign_statement(key, ACT_TYPE, thumbprint(key), payload)
    digests = {
        **actor.digests,
        "card": digest_of(text),
        "model": card.sha256,
        "statement": digest_of(statement),
    }
    facts = {"use": use, "architecture": card.architecture}
    with recorded(
        gate, EventType.MODELS_MODEL_ADD, actor=actor.id, object_id=card.name, digests=digests, facts=facts
    ) as session:
        present = session.get(ModelRow, card.name)
        if present is not None and (present.card, present.use, present.retired_at) != (text, use, None):
            raise ConflictError(f"another model has, or had, this name (got {card.name!r})")
        store_weights(gate.settings.home, card, content)
        if present is None:
            session.add(
                ModelRow(
                    name=card.name,
                    sha256=card.sha256,
                    card=text,
                    use=use,
                    statement=statement,
                    added_by=actor.id,
                    added_at=gate.clock(),
                )
            )
            session.flush()
        return require_model(session, card.name)


def _addition(card: ModelCard, text: str, use: str) -> dict[str, str]:
    return {
        "act": "models.add",
        "card": digest_of(text),
        "model": card.name,
        "sha256": card.sha256,
        "use": use,
    }


def retire_model(gate: Gate, name: str, *, actor: Actor, key: PrivateKey) -> RegisteredModel:
    """Take a model out of use under a compliance officer's signature; its row, file and name remain.

    Raises:
        ForbiddenError: The person is no compliance officer; the attempt is in the ledger.
        NotFoundError: There is no such model.
        ConflictError: It is retired already.
        EvidenceError: Its registration does not verify.
    """
    permit(gate, actor, "models.retire", on=name)
    with gate.database.read() as session:
        model = require_model(session, name)
    if model.retired_at is not None:
        raise ConflictError(f"the model is retired already (got {name!r})")
    payload = _retirement(name, model.statement) | {"person": actor.id}
    statement = sign_statement(key, ACT_TYPE, thumbprint(key), payload)
    digests = {**actor.digests, "model": model.card.sha256, "statement": digest_of(statement)}
    with recorded(
        gate, EventType.MODELS_MODEL_RETIRE, actor=actor.id, object_id=name, digests=digests
    ) as session:
        row = session.get_one(ModelRow, name)
        if row.retired_at is not None:
            raise ConflictError(f"the model is retired already (got {name!r})")
        row.retirement, row.retired_by, row.retired_at = statement, actor.id, gate.clock()
        session.flush()
        return require_model(session, name)


def _retirement(name: str, statement: str) -> dict[str, str]:
    return {"act": "models.retire", "model": name, "statement": statement}


def require_model(session: ReadSession | WriteSession, name: str) -> RegisteredModel:
    """A registered model, retired or not, verified.

    Raises:
        NotFoundError: There is no such model.
        EvidenceError: A signature does not verify, or is for something else.
    """
    row = session.get(ModelRow, name)
    if row is None:
        raise NotFoundError(f"no model of this name is registered (got {name!r})")
    return _verified(session, row)


def registered_models(session: ReadSession | WriteSession) -> tuple[RegisteredModel, ...]:
    """Every registered model, retired ones too, sorted by name and verified.

    Raises:
        EvidenceError: A row does not verify; it is an error, never a gap (law 6).
    """
    return tuple(
        _verified(session, row) for row in session.scalars(sa.select(ModelRow).order_by(ModelRow.name))
    )


def _verified(session: ReadSession | WriteSession, row: ModelRow) -> RegisteredModel:
    """Verify a row.

    1. The card is valid. 2. It names this model, this digest and a known use. 3. The adding statement is signed
    by who added it and is about this card. 4. A retired model has a statement that retires this addition.
    """
    what = f"model {row.name!r}"
    try:  # 1
        card = card_of(json.loads(row.card), name=row.name)
    except (ValueError, ModelError) as error:
        raise EvidenceError(f"card of {what} is broken: {error}") from error
    if (card.name, card.sha256) != (row.name, row.sha256) or row.use not in USES:  # 2
        raise EvidenceError(f"{what} is not what its card says (got {row.sha256}, {row.use!r})")
    verified(  # 3
        session, row.statement, signer=row.added_by, what=what, expected=_addition(card, row.card, row.use)
    )
    if row.retired_at is not None or row.retirement is not None or row.retired_by is not None:  # 4
        if row.retired_at is None or row.retirement is None or row.retired_by is None:
            raise EvidenceError(f"{what} is retired without a statement (got {row.retired_by!r})")
        expected = _retirement(row.name, digest_of(row.statement))
        verified(session, row.retirement, signer=row.retired_by, what=what, expected=expected)
    return RegisteredModel(
        card=card,
        use=row.use,  # type: ignore[arg-type]
        added_by=row.added_by,
        added_at=row.added_at,
        statement=digest_of(row.statement),
        retired_at=row.retired_at,
    )
