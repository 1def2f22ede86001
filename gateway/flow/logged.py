"""Rule 28: a ledger is written only while policy admits the form of its entries."""

from audit.leaf import entry_fields
from gateway.errors import DeniedError
from gateway.flow.deciding import instant, policy_facts, profile_facts
from gateway.flow.gate import Gate
from gateway.people.registry import GATE_ACTOR
from policies.question import Point, Question


def require_admitted_log(gate: Gate) -> None:
    """Ask policy, once as the gate opens, whether entries of this form hold no content and detail is sealed.

    The facts are what the code that writes entries defines; tests hold that code to what each kind promises. The
    answer is no entry itself: where it denies, nothing may be entered.

    Raises:
        DeniedError: A field is new or of another kind than policy admits, or the suite is not admitted.
        EngineError: The engine gave no well-formed decision.
    """
    question = {
        "point": Point.LOG.value,
        "subject": {"id": GATE_ACTOR.id},
        "action": {"name": "keep"},
        "resource": {
            "fields": [{"name": name, "kind": kind} for name, kind in sorted(entry_fields().items())],
            "detail_suite": gate.keystore.suite.name,
        },
        "context": {
            "time": instant(gate.clock()),
            "profile": profile_facts(gate),
            "policy": policy_facts(gate),
        },
    }
    decision = gate.engine.decide(Question.of(question))
    if not decision.allowed:
        raise DeniedError(decision)
