"""A look at an original under break-glass (rules 4 and 30): a marked picture, never the file.

Law 1 stands: no byte of an original leaves. What a person is shown is drawn in memory, reduced, and marked all
over with who looks, when and under which break-glass; inside the operator's own zone only.
"""

import io
from typing import BinaryIO

from anonymize.errors import AnonymizeError
from anonymize.formats.identify import ItemKind
from anonymize.media.detection import Image
from anonymize.media.image_decoding import decode_upright, open_image
from anonymize.media.marked_picture import marked_picture
from anonymize.media.video.frames import read_frames
from anonymize.media.video.timeline import read_timeline
from audit.events import EventType
from gateway.errors import InvalidRequestError, NotFoundError
from gateway.flow.acts import intended
from gateway.flow.classify import load_classified, readable_original
from gateway.flow.deciding import instant
from gateway.flow.gate import Gate
from gateway.flow.kinds.handling import IMAGE_KINDS
from gateway.flow.kinds.images import image_kind
from gateway.flow.recording import Classified
from gateway.people.break_glass import READ_ORIGINAL, break_glass_of
from gateway.people.break_glass_reports import report_break_glass
from gateway.people.permission import permit
from gateway.people.registry import Actor


def show_original(gate: Gate, access: str, item: str, *, actor: Actor, frame: int = 0) -> bytes:
    """Show one picture of an original to the person who asked for it.

    1. Policy allows it now: the break-glass names this item, somebody else approved it, its time runs, the person
    is a domestic operator inside the zone. 2. The intent is durable. 3. The original opens through its evidence.
    4. The picture is drawn. 5. The use is complete in the ledger and reported, before a byte is handed out.

    Args:
        gate: The gate.
        access: Id of the break-glass.
        item: Id of the item.
        actor: Who looks.
        frame: Which frame of a video, from 0.

    Returns:
        A PNG.

    Raises:
        ActDeniedError: Step 1; the attempt is in the ledger.
        InvalidRequestError: The item holds no picture that can be shown.
        NotFoundError: The video has no such frame.
        EvidenceError: Step 3: the original is no longer held, or does not verify.
        AnonymizeError: It cannot be read.
        StorageError: The report is not durable.
    """
    found = break_glass_of(gate, access)
    permit(  # step 1
        gate, actor, READ_ORIGINAL, on=item, break_glass=None if found is None else found.facts()
    )
    with gate.database.read() as session:
        classified = load_classified(gate, session, item)
    event = intended(
        EventType.BREAK_GLASS_ORIGINAL_READ,
        actor=actor.id,
        object_id=access,
        item=item,
        recording=classified.quarantined.recording,
        digests={**actor.digests, "content": classified.quarantined.content_digest},
        facts={"frame": frame},
    )
    with gate.ledger.intent(event) as intent:  # step 2
        try:
            image = _picture(gate, classified, frame)  # step 3
        except (InvalidRequestError, NotFoundError, AnonymizeError) as error:
            intent.refuse(facts={"reason": error.reason})
            raise
        mark = f"{access[:8]} {actor.id} {instant(gate.clock())[:19]}Z"
        sheet = marked_picture(image, mark=mark)  # step 4
        intent.complete(digests=event.digests, facts=event.facts)  # step 5
    report_break_glass(gate, access)
    return sheet


def _picture(gate: Gate, item: Classified, frame: int) -> Image:
    profile = gate.profile.profile
    if item.kind in IMAGE_KINDS:
        content = readable_original(gate, item.quarantined, encoding=item.encoding).read()
        image, _ = decode_upright(open_image(content, image_kind(item.kind), profile=profile.images))
        return image
    if item.kind is not ItemKind.VIDEO:
        raise InvalidRequestError(f"only pictures and videos can be shown (got {item.kind.value!r})")
    source: BinaryIO = readable_original(gate, item.quarantined, encoding=item.encoding)
    timeline = read_timeline(source, profile=profile)
    if not 0 <= frame < timeline.frames:
        raise NotFoundError(f"the video has no such frame (got {frame}, expected below {timeline.frames})")
    source.seek(0, io.SEEK_SET)
    (shown,) = read_frames(source, timeline, profile=profile, start=frame, end=frame + 1)
    return shown.rgb()
