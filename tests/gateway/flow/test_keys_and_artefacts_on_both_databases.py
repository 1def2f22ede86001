"""Security keys, derived artefacts and a revocation on SQLite and on PostgreSQL, one after the other."""

import pytest

from gateway.errors import ApprovalInvalidError, InvalidRequestError
from gateway.flow.asserted import approve_by_assertion, begin_approval
from gateway.flow.lineage import release_lineage
from gateway.flow.register import register_artefact
from gateway.flow.release import load_approved, release, revoke_release
from gateway.people.security_keys import begin_registration, register_security_key
from pipeline.artefacts import ArtefactKind, DerivedArtefact
from security_keys import ORIGIN, RP_ID, SecurityKey
from simulators import PURPOSE, House, candidate, cleanse, grant, look


def test_from_a_security_key_to_a_revocation(house: House):
    house.settings_changes |= {"webauthn_rp_id": RP_ID, "webauthn_origins": (ORIGIN,)}
    with house.opened() as gate:
        house.furnish(gate)
        made = candidate(gate, house, cleanse(gate, {"notes.txt": "城市道路。\n".encode()}))
        for person in ("first", "second"):
            who, key = house.people[person], SecurityKey()
            look(gate, house, made, person)
            options = begin_registration(gate, actor=who.actor)["options"]
            statement = key.registration(person, who.key)
            register_security_key(gate, key.create(options), statement, actor=who.actor)
            answer = key.get(begin_approval(gate, made, actor=who.actor)["options"])
            approve_by_assertion(gate, made, answer, actor=who.actor)
            with pytest.raises(InvalidRequestError, match="no such challenge"):
                approve_by_assertion(gate, made, answer, actor=who.actor)
            key.sign_count -= 1
            with pytest.raises(ApprovalInvalidError, match="count"):
                approve_by_assertion(
                    gate,
                    made,
                    key.get(begin_approval(gate, made, actor=who.actor)["options"]),
                    actor=who.actor,
                )
        first = house.people["first"].actor
        release(gate, load_approved(gate, made, actor=first), actor=first)
        grant(gate, house, made)
        engineer = house.people["engineer"]
        ids: list[str] = []
        for name, releases in (("index", (made,)), ("model", ())):
            artefact = DerivedArtefact(
                kind=ArtefactKind(name),
                name=name,
                sha256="ab" * 32,
                code="c",
                releases=releases,
                artefacts=tuple(ids),
            )
            text = artefact.statement(
                principal="engineer", purpose=PURPOSE, key=engineer.key, at=gate.clock()
            )
            done = register_artefact(gate, text, actor=engineer.actor, purpose=PURPOSE)
            ids.append(str(done["artefact"]))
        found = release_lineage(gate, made, actor=house.people["auditor"].actor)
        assert [each["artefact"] for each in found["artefacts"]] == ids
        revoked = revoke_release(gate, made, actor=first).document()
        assert [each["artefact"] for each in revoked["artefacts"]] == ids
        assert (revoked["grants_ended"], revoked["received"][0]["principal"]) == (1, "engineer")
