"""What the ledger remembers: one enum of acts, one event shape, tokens and digests only (rule 28)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from audit.errors import InvalidEventError

MAX_INTEGER = 2**53 - 1
MAX_FACTS = 64

_TOKEN = re.compile(r"[A-Za-z0-9_.:/@+=,*#~%()\[\]-]{1,200}", re.ASCII)
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{32,128}", re.ASCII)

ID_FIELDS = (
    "recording",
    "item",
    "release",
    "grant",
    "vehicle",
    "recipient",
    "purpose",
    "rule",
)


class EventType(StrEnum):
    """Every act that leaves a trace, as ``area:subject:action``."""

    INTAKE_RECORDING_RECEIVE = "intake:recording:receive"
    INTAKE_ITEM_RECEIVE = "intake:item:receive"
    INTAKE_ITEM_HOLD = "intake:item:hold"
    CLASSIFY_ITEM_CLASSIFY = "classify:item:classify"
    CLEANSE_ITEM_CLEANSE = "cleanse:item:cleanse"
    RELEASE_RELEASE_REQUEST = "release:release:request"
    RELEASE_RELEASE_BUILD = "release:release:build"
    RELEASE_KEY_DRAW = "release:key:draw"
    RELEASE_ITEM_UNLINK = "release:item:unlink"
    RELEASE_RELEASE_PUBLISH = "release:release:publish"
    RELEASE_RELEASE_REVOKE = "release:release:revoke"
    RELEASE_RELEASE_WITHDRAW = "release:release:withdraw"
    RELEASE_RELEASE_EXPIRE = "release:release:expire"
    JUDGE_INTAKE_DECIDE = "judge:intake:decide"
    JUDGE_ADVANCE_DECIDE = "judge:advance:decide"
    JUDGE_RELEASE_DECIDE = "judge:release:decide"
    JUDGE_RELEASE_JUDGE = "judge:release:judge"
    JUDGE_SERVE_DECIDE = "judge:serve:decide"
    JUDGE_PUBLISH_DECIDE = "judge:publish:decide"
    JUDGE_DESTROY_DECIDE = "judge:destroy:decide"
    JUDGE_ACT_DECIDE = "judge:act:decide"
    REVIEW_RELEASE_READ = "review:release:read"
    REVIEW_RECORDING_READ = "review:recording:read"
    REVIEW_SHEET_READ = "review:sheet:read"
    REVIEW_ATTACK_RUN = "review:attack:run"
    REVIEW_SLOPES_READ = "review:slopes:read"
    REVIEW_SLOPES_DECIDE = "review:slopes:decide"
    REVIEW_QUALITY_SAMPLE = "review:quality:sample"
    REVIEW_QUALITY_READ = "review:quality:read"
    REVIEW_QUALITY_RECORD = "review:quality:record"
    DOSSIER_RELEASE_ISSUE = "dossier:release:issue"
    DOSSIER_RELEASE_READ = "dossier:release:read"
    REPORT_LEDGER_MAKE = "report:ledger:make"
    APPROVE_RELEASE_SIGN = "approve:release:sign"
    APPROVE_RELEASE_WITHDRAW = "approve:release:withdraw"
    APPROVE_RELEASE_REJECT = "approve:release:reject"
    GRANT_GRANT_ISSUE = "grant:grant:issue"
    GRANT_GRANT_REVOKE = "grant:grant:revoke"
    ARTEFACT_ARTEFACT_REGISTER = "artefact:artefact:register"
    ARTEFACT_ARTEFACT_READ = "artefact:artefact:read"
    ARTEFACT_ARTEFACT_REVOKE = "artefact:artefact:revoke"
    ARTEFACT_LINEAGE_READ = "artefact:lineage:read"
    USE_RELEASE_REPORT = "use:release:report"
    USE_QUERY_READ = "use:query:read"
    SERVE_MANIFEST_READ = "serve:manifest:read"
    SERVE_ITEM_READ = "serve:item:read"
    SERVE_LIST_READ = "serve:list:read"
    VAULT_KEY_CREATE = "vault:key:create"
    VAULT_KEY_DESTROY = "vault:key:destroy"
    VAULT_KEY_ROTATE = "vault:key:rotate"
    VAULT_KEY_BACKUP = "vault:key:backup"
    VAULT_KEY_PUBLISH = "vault:key:publish"
    VAULT_KEY_RECOVER = "vault:key:recover"
    PEOPLE_PERSON_ENROL = "people:person:enrol"
    PEOPLE_CHALLENGE_ISSUE = "people:challenge:issue"
    PEOPLE_CHALLENGE_SPEND = "people:challenge:spend"
    PEOPLE_CREDENTIAL_REGISTER = "people:credential:register"
    PEOPLE_CREDENTIAL_REVOKE = "people:credential:revoke"
    PEOPLE_CREDENTIAL_USE = "people:credential:use"
    PEOPLE_PERSON_CHANGE = "people:person:change"
    PEOPLE_VEHICLE_ENROL = "people:vehicle:enrol"
    PEOPLE_CARRIER_CHECKIN = "people:carrier:checkin"
    PEOPLE_CERTIFICATE_REGISTER = "people:certificate:register"
    PEOPLE_CERTIFICATE_CHANGE = "people:certificate:change"
    PEOPLE_DELEGATION_REGISTER = "people:delegation:register"
    PEOPLE_DELEGATION_END = "people:delegation:end"
    PEOPLE_SOURCE_ASSIGN = "people:source:assign"
    PEOPLE_DOCUMENT_READ = "people:document:read"
    PEOPLE_RECIPIENT_REGISTER = "people:recipient:register"
    PEOPLE_RECIPIENT_CONTRACT = "people:recipient:contract"
    PEOPLE_RECIPIENT_SUPERVISE = "people:recipient:supervise"
    PEOPLE_RECIPIENT_CLOSE = "people:recipient:close"
    PEOPLE_PURPOSE_REGISTER = "people:purpose:register"
    PEOPLE_PURPOSE_ASSESS = "people:purpose:assess"
    POLICY_BUNDLE_SIGN = "policy:bundle:sign"
    POLICY_BUNDLE_SIMULATE = "policy:bundle:simulate"
    POLICY_DECISION_EXPLAIN = "policy:decision:explain"
    POLICY_BUNDLE_INSTALL = "policy:bundle:install"
    ZONES_FILE_INSTALL = "zones:file:install"
    DBC_FILE_INSTALL = "dbc:file:install"
    MODELS_MODEL_ADD = "models:model:add"
    MODELS_MODEL_RETIRE = "models:model:retire"
    MODELS_MODEL_EVALUATE = "models:model:evaluate"
    SCHEDULER_JOB_RUN = "scheduler:job:run"
    ERASE_RECORDING_ERASE = "erase:recording:erase"
    ERASE_RAW_EXPIRE = "erase:raw:expire"
    AUTH_REQUEST_REFUSE = "auth:request:refuse"
    AUTH_REQUEST_REPEAT = "auth:request:repeat"
    BREAK_GLASS_ACCESS_REQUEST = "break_glass:access:request"
    BREAK_GLASS_ACCESS_APPROVE = "break_glass:access:approve"
    BREAK_GLASS_ACCESS_END = "break_glass:access:end"
    BREAK_GLASS_ACCESS_REVIEW = "break_glass:access:review"
    BREAK_GLASS_ACCESS_REPORT = "break_glass:access:report"
    BREAK_GLASS_ORIGINAL_READ = "break_glass:original:read"
    AUDIT_LEDGER_QUERY = "audit:ledger:query"
    AUDIT_LEDGER_EXPORT = "audit:ledger:export"
    AUDIT_LEDGER_CHECKPOINT = "audit:ledger:checkpoint"
    SYSTEM_GATEWAY_START = "system:gateway:start"
    SYSTEM_GATEWAY_INIT = "system:gateway:init"
    SYSTEM_DISK_ALARM = "system:disk:alarm"


class Outcome(StrEnum):
    """Where an act stands: an intent is durable before the effect, one of the others after it (law 2)."""

    INTENT = "intent"
    COMPLETED = "completed"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One act by one actor on one object, stated in pseudonymous ids, digests and facts.

    Args:
        type: Which act.
        outcome: Where it stands.
        actor: Pseudonymous id of who acts.
        object: Id of what is acted on.
        recording: Id of the recording concerned.
        item: Id of the item concerned.
        release: Id of the release concerned.
        grant: Id of the grant the act rests on.
        vehicle: Pseudonymous id of the vehicle concerned.
        recipient: Id of the recipient concerned.
        purpose: Purpose of a release or grant.
        rule: The rule that decided.
        intent: Index of the intent that this event settles; never given on an intent.
        digests: Lower-case hex digests that the act rests on, by name.
        facts: Tokens, integers and booleans of a closed vocabulary, by name; never content.

    Raises:
        InvalidEventError: if a value is outside the vocabulary; the message names it.
    """

    type: EventType
    outcome: Outcome
    actor: str
    object: str
    recording: str | None = None
    item: str | None = None
    release: str | None = None
    grant: str | None = None
    vehicle: str | None = None
    recipient: str | None = None
    purpose: str | None = None
    rule: str | None = None
    intent: int | None = None
    digests: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, str | int | bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_member("type", self.type, EventType)
        _check_member("outcome", self.outcome, Outcome)
        check_token("actor", self.actor)
        check_token("object", self.object)
        for name in ID_FIELDS:
            value = getattr(self, name)
            if value is not None:
                check_token(name, value)
        if self.intent is not None:
            _check_index(self.intent)
            if self.outcome is Outcome.INTENT:
                raise InvalidEventError(
                    f"an intent settles no other intent (got {self.intent}, expected None)"
                )
        object.__setattr__(self, "digests", MappingProxyType(_checked_digests(self.digests)))
        object.__setattr__(self, "facts", MappingProxyType(_checked_facts(self.facts)))


def _check_member(name: str, value: object, kind: type[StrEnum]) -> None:
    if not isinstance(value, kind):
        raise InvalidEventError(f"{name} is no {kind.__name__} (got {value!r})")


def check_token(name: str, value: object) -> None:
    """Demand a token.

    Raises:
        InvalidEventError: if it is none; the message says ``name``.
    """
    if not isinstance(value, str) or _TOKEN.fullmatch(value) is None:
        raise InvalidEventError(
            f"{name} is no token (got {value!r}, expected 1 to 200 of A-Z a-z 0-9 _.:/@+=,*#~%()[]-)"
        )


def _check_index(value: object) -> None:
    if type(value) is not int or not 0 <= value <= MAX_INTEGER:
        raise InvalidEventError(f"intent is no index (got {value!r}, expected 0 to {MAX_INTEGER})")


def _check_name(kind: str, name: object) -> None:
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise InvalidEventError(
            f"{kind} has an invalid name (got {name!r}, expected snake_case of at most 64 characters)"
        )


def _checked_digests(digests: Mapping[str, str]) -> dict[str, str]:
    if len(digests) > MAX_FACTS:
        raise InvalidEventError(f"too many digests (got {len(digests)}, expected at most {MAX_FACTS})")
    for name, value in digests.items():
        _check_name("digests", name)
        if not isinstance(value, str) or _DIGEST.fullmatch(value) is None or len(value) % 2:
            raise InvalidEventError(
                f"digest {name} is no lower-case hex digest of 16 to 64 bytes (got {value!r})"
            )
    return dict(digests)


def _checked_facts(facts: Mapping[str, str | int | bool]) -> dict[str, str | int | bool]:
    if len(facts) > MAX_FACTS:
        raise InvalidEventError(f"too many facts (got {len(facts)}, expected at most {MAX_FACTS})")
    for name, value in facts.items():
        _check_name("facts", name)
        if isinstance(value, str):
            check_token(f"fact {name}", value)
        elif type(value) is int:
            if abs(value) > MAX_INTEGER:
                raise InvalidEventError(
                    f"fact {name} is too large (got {value}, expected at most ±{MAX_INTEGER})"
                )
        elif type(value) is not bool:
            raise InvalidEventError(f"fact {name} is neither token, integer nor boolean (got {value!r})")
    return {name: str(value) if isinstance(value, str) else value for name, value in facts.items()}
