"""Masks leave beside their pictures under the same grant, die with them; reviewers look at treated places only."""

import hashlib
import io
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pillow_heif
import pytest
import sqlalchemy as sa
from PIL import Image

from anonymize.media.mask_file import decode_mask
from audit.events import EventType, Outcome
from gateway.commands.demo_drive import photographs
from gateway.errors import EvidenceError, ForbiddenError, NotFoundError
from gateway.flow.build import load_built
from gateway.flow.cleanse import load_cleansed
from gateway.flow.dossier import review_release
from gateway.flow.erase import erase_recording
from gateway.flow.gate import Gate
from gateway.flow.looks import evidence_seen, has_sheet
from gateway.flow.records import ItemRow, ReleaseItemRow
from gateway.flow.serve import NoGrantError, read_item, read_manifest
from gateway.review.contact_sheet import review_sheets
from gateway.vault.errors import VaultError
from gateway.vault.store import Context
from pipeline.manifest import read_release_manifest
from simulators import PURPOSE, House, candidate, cleanse, grant, publish

FACE = (470, 70, 510, 120)
"""Inside the face of the right-hand person in the photograph, at half size (left, top, right, bottom)."""
CORNER = (0, 0, 40, 40)
"""A corner with nothing to mask."""


def photograph() -> Image.Image:
    with Image.open(io.BytesIO(photographs()[1])) as opened:
        return opened.convert("RGB").resize((640, 360))


def encoded(kind: str) -> bytes:
    out = io.BytesIO()
    if kind == "heic":
        pillow_heif.from_pillow(photograph()).save(out, quality=90)
    else:
        photograph().save(out, kind, quality=95)
    return out.getvalue()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """Two pictures of people, released to an engineer."""
    house = House(home=tmp_path_factory.mktemp("masks") / "home")
    files = {"people.jpg": encoded("jpeg"), "phone.heic": encoded("heic")}
    with house.opened() as gate:
        house.furnish(gate)
        recording = cleanse(gate, files, attestation="a closed test track")
        release = candidate(gate, house, recording)
        publish(gate, house, release)
        grant(gate, house, release)
        manifest = read_release_manifest(
            read_manifest(gate, release, actor=house.people["engineer"].actor, purpose=PURPOSE),
            gate.keystore.signing_key("release"),
            release=release,
            purpose=PURPOSE,
        )
        yield SimpleNamespace(gate=gate, house=house, recording=recording, release=release, manifest=manifest)


def read(world: SimpleNamespace, name: str, person: str = "engineer") -> bytes:
    reader = world.house.people[person].actor
    return b"".join(
        read_item(world.gate, world.release, name, actor=reader, purpose=PURPOSE, wanted=None).chunks
    )


def entries(gate: Gate, kind: EventType) -> list[tuple[str, Outcome]]:
    return [(e.event.object, e.event.outcome) for e in gate.ledger.entries() if e.event.type is kind]


def test_each_picture_leaves_with_a_mask_of_its_size_beside_it(world: SimpleNamespace):
    assert len(world.manifest.items) == 2
    for item in world.manifest.items:
        assert item.name.endswith(".jpg")
        assert item.mask is not None
        assert (item.mask.name, item.mask.media_type) == (f"{item.name}.mask.png", "image/png")
        content = read(world, item.mask.name)
        assert (len(content), hashlib.sha256(content).hexdigest()) == (item.mask.size, item.mask.sha256)
        mask = decode_mask(content)
        with Image.open(io.BytesIO(read(world, item.name))) as picture:
            assert picture.format == "JPEG"
            pixels = np.asarray(picture.convert("RGB"))
        assert mask.shape == pixels.shape[:2]
        left, top, right, bottom = FACE
        assert mask[top:bottom, left:right].all()
        assert pixels[top:bottom, left:right].std(axis=(0, 1)).max() < 12
        left, top, right, bottom = CORNER
        assert not mask[top:bottom, left:right].any()


def test_reading_a_mask_needs_the_same_grant_and_is_in_the_ledger(world: SimpleNamespace):
    name = world.manifest.items[0].mask.name
    read(world, name)
    with pytest.raises(NoGrantError):
        read(world, name, "stranger")
    outcomes = [outcome for which, outcome in entries(world.gate, EventType.SERVE_ITEM_READ) if which == name]
    assert outcomes[-4:] == [Outcome.INTENT, Outcome.COMPLETED, Outcome.INTENT, Outcome.REFUSED]
    with pytest.raises(NotFoundError):
        read(world, f"{name}.mask.png")


@pytest.mark.parametrize("where", ["item", "release_item"])
def test_a_mask_that_was_exchanged_stops_what_rests_on_it(world: SimpleNamespace, where: str):
    gate = world.gate
    with gate.database.read() as session:
        source = session.scalars(sa.select(ItemRow).order_by(ItemRow.position)).first()
        sealed = gate.vault.seal(
            [b"another"],
            kek_id=f"rec-{world.recording}",
            context=Context(owner=world.recording, object=source.id, role="mask"),
        ).manifest_jws
    table = ItemRow if where == "item" else ReleaseItemRow
    mine = table.id == source.id if where == "item" else table.item_id == source.id
    with gate.database.read() as session:
        before = session.scalar(sa.select(table.mask_seal).where(mine))
    for other in (sealed, None):
        with gate.database.transaction() as session:
            session.execute(sa.update(table).where(mine).values(mask_seal=other))
        load, what = (load_cleansed, source.id) if where == "item" else (load_built, world.release)
        with gate.database.read() as session, pytest.raises(EvidenceError):
            load(gate, session, what)
    with gate.database.transaction() as session:
        session.execute(sa.update(table).where(mine).values(mask_seal=before))


def test_a_contact_sheet_shows_masked_places_and_is_an_entry(world: SimpleNamespace):
    reviewer = world.house.people["first"].actor
    for subject in (world.release, world.recording):
        (sheet,) = review_sheets(world.gate, subject, actor=reviewer)
        with Image.open(io.BytesIO(sheet)) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        assert pixels.shape[0] > 150
        last = entries(world.gate, EventType.REVIEW_SHEET_READ)[-2:]
        assert last == [(subject, Outcome.INTENT), (subject, Outcome.COMPLETED)]


def test_who_opened_no_sheet_did_not_see_the_evidence(world: SimpleNamespace):
    """Law 8: where a picture was masked, an approver opens the contact sheet as well as the summary."""
    gate, auditor = world.gate, world.house.people["auditor"].actor
    with gate.database.read() as session:
        built = load_built(gate, session, world.release)
        assert has_sheet(gate, session, built)
    assert evidence_seen(gate, built, "first", sheet=True)
    review_release(gate, world.release, actor=auditor)
    assert evidence_seen(gate, built, "auditor", sheet=False)
    assert not evidence_seen(gate, built, "auditor", sheet=True)
    assert len(list(review_sheets(gate, world.release, actor=auditor, page=1))) == 1
    assert evidence_seen(gate, built, "auditor", sheet=True)
    assert not evidence_seen(gate, replace(built, digest="0" * 64), "auditor", sheet=True)


def test_a_page_that_is_not_there_is_refused(world: SimpleNamespace):
    reviewer = world.house.people["auditor"].actor
    assert len(list(review_sheets(world.gate, world.release, actor=reviewer, page=1))) == 1
    with pytest.raises(NotFoundError, match="no such page"):
        list(review_sheets(world.gate, world.release, actor=reviewer, page=2))
    assert entries(world.gate, EventType.REVIEW_SHEET_READ)[-1] == (world.release, Outcome.REFUSED)
    with pytest.raises(NotFoundError, match="no such release or recording"):
        list(review_sheets(world.gate, "0" * 32, actor=reviewer))


@pytest.mark.parametrize("person", ["engineer", "admin"])
def test_who_does_not_review_sees_no_contact_sheet(world: SimpleNamespace, person: str):
    before = len(entries(world.gate, EventType.REVIEW_SHEET_READ))
    with pytest.raises(ForbiddenError):
        list(review_sheets(world.gate, world.release, actor=world.house.people[person].actor))
    assert len(entries(world.gate, EventType.REVIEW_SHEET_READ)) == before


def test_erasing_the_recording_takes_the_masks_along(world: SimpleNamespace):
    """Last: nothing of this world can be read afterwards."""
    gate = world.gate
    with gate.database.read() as session:
        seals = [
            *session.scalars(sa.select(ItemRow.mask_seal)),
            *session.scalars(sa.select(ReleaseItemRow.mask_seal)),
        ]
    assert len(seals) == 4
    assert all(seals)
    blobs = [gate.vault.verified(seal) for seal in seals]
    erase_recording(gate, world.recording, actor=world.house.people["officer"].actor)
    for blob, seal in zip(blobs, seals, strict=True):
        with pytest.raises(VaultError):
            gate.vault.read_all(seal, blob.context)
        assert not (gate.settings.home / "objects" / f"{blob.blob_id}.sealed").exists()
    with gate.database.read() as session:
        assert set(session.scalars(sa.select(ItemRow.mask_seal))) == {None}
        assert set(session.scalars(sa.select(ReleaseItemRow.mask_seal))) == {None}
