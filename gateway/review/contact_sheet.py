"""Contact sheets of a release or a recording: masked places, cut from treated content, for its reviewers."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby, islice
from typing import Any

import sqlalchemy as sa

from anonymize.finding import Finding, FindingKind, FrameBox, PixelBox
from anonymize.formats.identify import ItemKind
from anonymize.media.contact_sheet import Crop, contact_sheets, crop_of
from anonymize.media.detection import Image
from anonymize.media.image_decoding import decode_upright, open_image, released_kind
from anonymize.media.video.frames import read_frames
from anonymize.media.video.timeline import read_timeline
from audit.events import EventType
from gateway.errors import NotFoundError
from gateway.flow.acts import intended
from gateway.flow.build import load_built
from gateway.flow.cleanse import load_cleansed, open_treated
from gateway.flow.gate import Gate
from gateway.flow.kinds.images import image_kind
from gateway.flow.looks import SHEET_KINDS
from gateway.flow.recording import Built, Cleansed, ItemState
from gateway.flow.records import ItemRow, RecordingRow, ReleaseRow
from gateway.people.permission import permit
from gateway.people.registry import Actor


def review_sheets(gate: Gate, subject: str, *, actor: Actor, page: int | None = None) -> Iterator[bytes]:
    """Pages of masked places, each a PNG; looking is itself an entry, complete when the last page was taken.

    Only treated content is opened, through its evidence: a place that a mask missed shows as it would leave.

    Args:
        gate: The gate.
        subject: Id of a release that was built, or of a recording.
        actor: Who looks.
        page: Only this page, from 1; None for all.

    Raises:
        ForbiddenError: The person holds none of the roles that review.
        NotFoundError: There is no such release or recording, or no such page of it.
        StageOrderError: The release was not built.
        EvidenceError: What it rests on does not verify.
    """
    permit(gate, actor, "release.sheet", on=subject)
    is_release = _is_release(gate, subject)
    event = intended(
        EventType.REVIEW_SHEET_READ,
        actor=actor.id,
        object_id=subject,
        digests=actor.digests,
        **{"release" if is_release else "recording": subject},
    )
    with gate.ledger.intent(event) as intent:
        built = _built(gate, subject) if is_release else None
        items = _of_recording(gate, subject) if built is None else _of_release(gate, built)
        crops = (crop for name, item in items for crop in _crops(gate, name, item))
        pages = contact_sheets(crops, title=f"{'release' if is_release else 'recording'} {subject[:16]}")
        shown = 0
        for sheet in pages if page is None else islice(pages, page - 1, page):
            yield sheet
            shown += 1
        if page is not None and not shown:
            intent.refuse(facts={"reason": NotFoundError.reason})
            raise NotFoundError(f"the contact sheet has no such page (got {page})")
        intent.complete(digests={"release": built.digest} if built else {}, facts={"pages": shown})


def _is_release(gate: Gate, subject: str) -> bool:
    with gate.database.read() as session:
        if session.get(ReleaseRow, subject) is not None:
            return True
        if session.get(RecordingRow, subject) is None:
            raise NotFoundError(f"no such release or recording (got {subject!r})")
    return False


def _built(gate: Gate, release: str) -> Built:
    with gate.database.read() as session:
        return load_built(gate, session, release)


def _of_release(gate: Gate, built: Built) -> Iterator[tuple[str, Cleansed]]:
    for item in built.items:
        with gate.database.read() as session:
            yield item.name, load_cleansed(gate, session, item.source)


def _of_recording(gate: Gate, recording: str) -> Iterator[tuple[str, Cleansed]]:
    with gate.database.read() as session:
        statement = (
            sa.select(ItemRow.id)
            .where(ItemRow.recording_id == recording, ItemRow.state == ItemState.CLEANSED)
            .order_by(ItemRow.position)
        )
        items = list(session.scalars(statement))
    for item in items:
        with gate.database.read() as session:
            yield item, load_cleansed(gate, session, item)


def _crops(gate: Gate, name: str, item: Cleansed) -> Iterator[Crop]:
    kind = item.classified.kind
    if kind not in SHEET_KINDS:
        return
    found = sorted(filter(None, map(_placed, item.payload["findings"])), key=_frame_of)
    if not found:
        return
    if kind is ItemKind.VIDEO:
        yield from _frames_with(gate, name, item, found)
        return
    image = _image(gate, item)
    for finding in found:
        yield crop_of(image, finding, item=name)


def _image(gate: Gate, item: Cleansed) -> Image:
    profile = gate.profile.profile.images
    kind = released_kind(image_kind(item.classified.kind))
    opened = open_image(open_treated(gate, item).read(), kind, profile=profile)
    image, _ = decode_upright(opened)
    return image


def _frames_with(gate: Gate, name: str, item: Cleansed, found: Iterable[Finding]) -> Iterator[Crop]:
    source, profile = open_treated(gate, item), gate.profile.profile
    timeline = read_timeline(source, profile=profile)
    for frame, findings in groupby(found, key=_frame_of):
        for shown in read_frames(source, timeline, profile=profile, start=frame, end=frame + 1):
            image = shown.rgb()
            for finding in findings:
                yield crop_of(image, finding, item=name)


def _frame_of(finding: Finding) -> int:
    return finding.where.frame if isinstance(finding.where, FrameBox) else 0


def _placed(document: Mapping[str, Any]) -> Finding | None:
    """A finding of the evidence, None where it has no place in a picture."""
    where = dict(document["where"])
    kind = where.pop("type")
    place: PixelBox | FrameBox
    if kind == PixelBox.__name__:
        place = PixelBox(**where)
    elif kind == FrameBox.__name__:
        place = FrameBox(frame=where["frame"], box=PixelBox(**where["box"]))
    else:
        return None
    return Finding(
        kind=FindingKind(document["kind"]),
        where=place,
        confidence=document["confidence"],
        detector=document["detector"],
        label=document["label"],
    )
