"""The values that pass the gate: one frozen type per stage, so that order lives in the types.

Only the loaders in ``gateway.flow.evidence`` and the stages themselves construct them, after verifying what
they rest on; a function that takes ``Approved`` cannot be handed anything less.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Any, NewType

from anonymize.formats.identify import ItemKind

RecordingId = NewType("RecordingId", str)
ItemId = NewType("ItemId", str)
ReleaseId = NewType("ReleaseId", str)
GrantId = NewType("GrantId", str)
PersonId = NewType("PersonId", str)


class RecordingState(StrEnum):
    """Where a recording stands; evidence, not this column, is what a stage trusts."""

    RECEIVED = "received"
    QUARANTINED = "quarantined"
    CLASSIFIED = "classified"
    CLEANSED = "cleansed"
    ERASED = "erased"


class ItemState(StrEnum):
    """Where an item stands."""

    AWAITED = "awaited"
    QUARANTINED = "quarantined"
    CLASSIFIED = "classified"
    CLEANSED = "cleansed"
    CUT = "cut"
    HELD = "held"
    ERASED = "erased"


class ReleaseState(StrEnum):
    """Where a release stands."""

    REQUESTED = "requested"
    BUILT = "built"
    JUDGED = "judged"
    DENIED = "denied"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    APPROVED = "approved"
    RELEASED = "released"
    REVOKED = "revoked"


class ReleaseMode(StrEnum):
    """How positions leave (DESIGN.md §4, Coordinates)."""

    LOCAL = "LOCAL"
    OFFSET = "OFFSET"
    APPROVED = "APPROVED"


class Stage(StrEnum):
    """What a piece of evidence attests."""

    RECEIVED = "received"
    CLASSIFIED = "classified"
    CLEANSED = "cleansed"
    BUILT = "built"
    SAMPLED = "sampled"
    JUDGED = "judged"
    ATTACKED = "attacked"


class DataClass(StrEnum):
    """Classes of COMPLIANCE.md §2 that this gate can establish."""

    EXT_VIDEO = "EXT_VIDEO"
    EXT_IMAGE = "EXT_IMAGE"
    POINT_CLOUD = "POINT_CLOUD"
    TRAJ_ABS = "TRAJ_ABS"
    TRAJ_REL = "TRAJ_REL"
    POSE_IMU = "POSE_IMU"
    MAP_VECTOR = "MAP_VECTOR"
    CALIB = "CALIB"
    LABEL = "LABEL"
    VEH_ID = "VEH_ID"


class Level(IntEnum):
    """Levels of COMPLIANCE.md §2; the highest of several wins, and unknown ranks with state secrets."""

    S0_PUBLIC = 0
    S1_PROCESSED = 1
    S2_PI = 2
    S2_SENSITIVE_PI = 3
    S3_IMPORTANT = 4
    S3_SENSITIVE_GEO = 5
    S4_STATE_SECRET = 6
    SX_UNKNOWN = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceRef:
    """A verified piece of evidence: its digest and where the ledger attests it."""

    stage: Stage
    digest: str
    ledger_index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """An item whose original lay sealed in quarantine and matched the signed manifest.

    ``seal`` is the sealed original, ``None`` once its retention ended.
    """

    recording: RecordingId
    item: ItemId
    index: int
    kek: str
    seal: str | None
    content_digest: str
    evidence: EvidenceRef


@dataclass(frozen=True, slots=True, kw_only=True)
class Classified:
    """An item of known kind, class, level and tags, with the facts that led to them."""

    quarantined: Quarantined
    kind: ItemKind
    encoding: str | None
    data_class: DataClass
    level: Level
    tags: tuple[str, ...]
    facts: Mapping[str, Any]
    evidence: EvidenceRef


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleansed:
    """An item that was treated under a pinned profile and passed the residual scan.

    ``mask`` is the seal of the file that says where its pixels were destroyed, ``None`` where it has none.
    """

    classified: Classified
    seal: str
    mask: str | None
    media_type: str
    level: Level
    payload: Mapping[str, Any]
    evidence: EvidenceRef


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltMask:
    """Where the pixels of an item were destroyed: a file beside it, for the losses of training."""

    name: str
    media_type: str
    size: int
    sha256: str
    seal: str

    def manifest_entry(self) -> dict[str, Any]:
        """What the recipient may know of the file."""
        return {
            "name": self.name,
            "media_type": self.media_type,
            "size": self.size,
            "sha256": self.sha256,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltItem:
    """One item of a release candidate: unlinked, re-scanned, sealed under its recording's key."""

    name: str
    media_type: str
    data_class: DataClass
    level: Level
    size: int
    sha256: str
    seal: str
    source: ItemId
    recording: RecordingId
    mask: BuiltMask | None
    payload: Mapping[str, Any]

    def manifest_entry(self) -> dict[str, Any]:
        """What the recipient may know of the item; ``mask`` and its place in time only where it has one."""
        beside = {"mask": self.mask.manifest_entry()} if self.mask else {}
        return {
            **self.payload["placed"],
            **beside,
            "name": self.name,
            "media_type": self.media_type,
            "class": self.data_class.value,
            "level": self.level.name,
            "size": self.size,
            "sha256": self.sha256,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseTerms:
    """What was asked for; part of the release digest, so that no term changes under an approval."""

    release: ReleaseId
    submitter: PersonId
    recordings: tuple[RecordingId, ...]
    purpose: str
    recipient: str
    mode: ReleaseMode
    destination_zone: str
    map_number: str | None
    dpia_reference: str | None
    created_at: datetime
    expires_at: datetime
    profile_name: str
    profile_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A release candidate: the terms, its items, those left out with the reason, the digest that people sign."""

    terms: ReleaseTerms
    items: tuple[BuiltItem, ...]
    left_out: Mapping[str, str]
    digest: str
    evidence: EvidenceRef


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A candidate that a recorded policy bundle allowed."""

    built: Built
    decision: Mapping[str, Any]
    evidence: EvidenceRef


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved:
    """A judged candidate that carries the signatures which policy requires."""

    judged: Judged
    approvals: tuple[str, ...]
    decision: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """An immutable, signed set of treated items for one purpose and one recipient."""

    release: ReleaseId
    manifest_jws: str
    manifest: Mapping[str, Any]
    revoked: bool
