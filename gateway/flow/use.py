"""What engineers do with released data downstream, each use reported before its results are shown.

Reading an item is an entry by itself. What somebody looks for in what they have read (a search by words or by a
picture, tags, triggers) and what they make of it happens on their side of the gate, so their client reports it
first, and shows nothing where the gate does not take the report.
"""

import hmac
import json
import secrets
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from enum import StrEnum
from hashlib import sha256
from typing import Any, Final

import rfc8785

from audit.events import EventType
from audit.intent import Intent
from audit.query import EntryFilter, find_all
from gateway.errors import GatewayError, InvalidRequestError, NotFoundError
from gateway.flow.acts import intended
from gateway.flow.deciding import instant
from gateway.flow.gate import Gate
from gateway.flow.serve import admit
from gateway.people.permission import permit
from gateway.people.registry import Actor

MAX_RELEASES: Final = 64
MAX_QUERY_BYTES: Final = 32 * 1024


class UseKind(StrEnum):
    """What released data is used for."""

    TEXT = "text"
    IMAGE = "image"
    TAGS = "tags"
    TRIGGERS = "triggers"
    INDEX = "index"
    LABEL = "label"
    TRAIN = "train"
    SIMULATE = "simulate"


def report_use(
    gate: Gate,
    kind: UseKind,
    releases: Sequence[str],
    query: Mapping[str, Any],
    *,
    actor: Actor,
    purpose: str,
) -> dict[str, Any]:
    """Put a use of releases into the ledger: for each an intent, and its completion once all were allowed.

    1. The report is well formed. 2. The intents are durable: who, purpose, release, kind, and a keyed digest of
    the query; its words are personal and lie sealed beside the first intent, under a key of the person. 3. For
    every release the caller holds a live grant and policy allows a read now; where one is refused, none is
    completed.

    Args:
        gate: The gate.
        kind: Of the use.
        releases: Ids of the releases, distinct.
        query: What is asked, such as ``{"text": "…"}``; values that JSON has.
        actor: Who uses them.
        purpose: What for, as the request states.

    Raises:
        InvalidRequestError: Step 1.
        NoGrantError: The caller holds no grant on one of the releases.
        DeniedError: Policy refuses, with reasons.
        LedgerUnavailableError: The ledger does not take it.
    """
    words = _checked(releases, query)  # 1
    use = secrets.token_hex(16)
    digest = hmac.new(gate.keystore.secret("use"), kind.value.encode() + b"\0" + words, sha256).hexdigest()
    with ExitStack() as stack:
        intents: dict[str, Intent] = {}
        for number, release in enumerate(releases):  # 2
            event = intended(
                EventType.USE_RELEASE_REPORT,
                actor=actor.id,
                object_id=use,
                release=release,
                purpose=purpose,
                digests={**actor.digests, "query": digest},
                facts={"kind": kind.value},
            )
            detail, subject = (words, _subject(actor)) if number == 0 else (None, None)
            intents[release] = stack.enter_context(gate.ledger.intent(event, detail=detail, subject=subject))
        for release, intent in intents.items():  # 3
            try:
                admit(gate, intent, actor=actor, release=release, purpose=purpose, item="use")
            except GatewayError:
                for other in intents.values():
                    if not other.settled:
                        other.refuse(facts={"kind": kind.value, "reason": "another_release"})
                raise
        for intent in intents.values():
            intent.complete(digests={"query": digest}, facts={"kind": kind.value})
    return {"use": use, "releases": list(releases), "kind": kind.value, "query": digest}


def read_query(gate: Gate, use: str, *, actor: Actor) -> dict[str, Any]:
    """A use with the words of its query, opened; the reading is an entry.

    Raises:
        ActDeniedError: Policy does not let the person query the ledger.
        NotFoundError: There is no such use.
        LedgerCorruptError: The sealed words are not those that the leaf commits to.
        VaultError: They were erased with their key.
    """
    permit(gate, actor, "audit.query")
    event = intended(EventType.USE_QUERY_READ, actor=actor.id, object_id=use, digests=actor.digests)
    with gate.ledger.intent(event) as intent:
        wanted = EntryFilter(object=use, types=(EventType.USE_RELEASE_REPORT,))
        with gate.ledger.snapshot() as snapshot:
            found = list(find_all(snapshot, wanted))
        if not found:
            intent.refuse(facts={"reason": NotFoundError.reason})
            raise NotFoundError(f"no such use (got {use!r})")
        first = found[0]
        query = json.loads(gate.ledger.detail(first.index) or b"{}")
        intent.complete()
    return {
        "use": use,
        "time": instant(first.time),
        "actor": first.event.actor,
        "purpose": first.event.purpose,
        "kind": first.event.facts["kind"],
        "releases": list(dict.fromkeys(entry.event.release for entry in found)),
        "query": query,
    }


def _checked(releases: Sequence[str], query: Mapping[str, Any]) -> bytes:
    """The query as its digest is of it.

    Raises:
        InvalidRequestError: It is too long, has no RFC 8785 form, or releases are missing, repeated or too many.
    """
    if not 0 < len(releases) <= MAX_RELEASES or len(set(releases)) != len(releases):
        raise InvalidRequestError(
            f"releases (got {len(releases)}, expected 1 to {MAX_RELEASES} distinct ones)"
        )
    try:
        words = rfc8785.dumps(dict(query))
    except (rfc8785.CanonicalizationError, UnicodeError, RecursionError) as error:
        raise InvalidRequestError(f"query has no RFC 8785 form: {error}") from error
    if len(words) > MAX_QUERY_BYTES:
        raise InvalidRequestError(
            f"query is too long (got {len(words)} bytes, expected at most {MAX_QUERY_BYTES})"
        )
    return words


def _subject(actor: Actor) -> str:
    return f"use-{sha256(actor.id.encode()).hexdigest()[:32]}"
