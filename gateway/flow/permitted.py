"""Acts of persons on a release: policy is told who submitted it (law 8)."""

import sqlalchemy as sa

from gateway.flow.gate import Gate
from gateway.flow.law import parameter
from gateway.flow.records import ReleaseRow
from gateway.people.permission import done_by, permit
from gateway.people.records import PersonRow
from gateway.people.registry import Actor

REQUEST = "release.request"


def permit_on_release(gate: Gate, actor: Actor, act: str, release: str) -> Actor:
    """``permit`` for an act on a release, whether there is such a release or not.

    Raises:
        ActDeniedError: Policy refuses; the attempt is in the ledger.
    """
    with gate.database.read() as session:
        submitter = session.scalar(sa.select(ReleaseRow.submitter).where(ReleaseRow.id == release))
        done = () if submitter is None else (done_by(session, REQUEST, submitter),)
    return permit(
        gate,
        actor,
        act,
        on=release,
        exists=submitter is not None,
        done=done,
        release=None if submitter is None else release,
    )


def standing_fault(gate: Gate, person: PersonRow | None, act: str, submitter: str) -> str:
    """Why what a person did on a release does not count (any more); empty where it does (law 6).

    What is on record is looked at again by the table of the policy in force: a person who lost the role, was
    suspended or turns out to be the submitter counts for nothing. It is no decision and leaves no entry.
    """
    if person is None or person.suspended_at is not None:
        return "the person is not an active one"
    day = gate.clock().date()
    roles = parameter(gate, "acts", "permitted_roles", day)["value"].get(act, [])
    if not set(roles) & set(person.roles):
        return f"{act} is for {' or '.join(roles) or 'nobody'} (got roles {person.roles})"
    excluded = parameter(gate, "acts", "excluded_acts", day)["value"].get(act, [])
    if person.id == submitter and REQUEST in excluded:
        return f"the submitter may not (got {person.id!r})"
    return ""
