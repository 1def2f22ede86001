"""Whether a person opened the evidence of a candidate before signing it: what the ledger says, nothing else."""

from collections.abc import Iterator

from anonymize.finding import FrameBox, PixelBox
from anonymize.formats.identify import ItemKind
from audit.events import EventType, Outcome
from audit.leaf import Entry
from audit.query import EntryFilter, find_all
from gateway.database import ReadSession, WriteSession
from gateway.flow.cleanse import load_cleansed
from gateway.flow.gate import Gate
from gateway.flow.kinds.handling import IMAGE_KINDS
from gateway.flow.recording import Built, Cleansed

SHEET_KINDS = IMAGE_KINDS | {ItemKind.VIDEO}
_PLACES = frozenset({PixelBox.__name__, FrameBox.__name__})
_LOOKS = (EventType.REVIEW_RELEASE_READ, EventType.REVIEW_SHEET_READ)


def has_sheet(gate: Gate, session: ReadSession | WriteSession, built: Built) -> bool:
    """Whether a contact sheet of the candidate shows anything: a picture in which something was masked.

    Raises:
        EvidenceError: What the candidate rests on does not verify.
    """
    pictures = (item for item in built.items if item.media_type.startswith(("image/", "video/")))
    return any(_shown(load_cleansed(gate, session, item.source)) for item in pictures)


def _shown(cleansed: Cleansed) -> bool:
    if cleansed.classified.kind not in SHEET_KINDS:
        return False
    return any(finding["where"]["type"] in _PLACES for finding in cleansed.payload["findings"])


def evidence_seen(gate: Gate, built: Built, person: str, *, sheet: bool, before: int | None = None) -> bool:
    """Whether a person opened the summary, and a page of the contact sheet, of this very digest.

    How long somebody looked, no ledger can tell.

    Args:
        gate: The gate.
        built: The candidate.
        person: Who should have looked.
        sheet: Whether there is a contact sheet to open.
        before: Only looks before this ledger index count; any where it is None.
    """
    opened = {entry.event.type for entry in _looks(gate, built, person, before)}
    return opened >= set(_LOOKS if sheet else _LOOKS[:1])


def _looks(gate: Gate, built: Built, person: str, before: int | None) -> Iterator[Entry]:
    wanted = EntryFilter(actor=person, object=built.terms.release, types=_LOOKS, outcome=Outcome.COMPLETED)
    with gate.ledger.snapshot() as snapshot:
        for entry in find_all(snapshot, wanted, below=before):
            if entry.event.digests.get("release") == built.digest:
                yield entry
