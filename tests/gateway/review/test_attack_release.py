"""Attacks on releases at the gate: rebuilt as released, figures kept as evidence, only by those who may."""

import io
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
import sqlalchemy as sa

from anonymize.errors import UnknownFormatError
from anonymize.formats.csv_track import read_csv_track
from anonymize.geo.attacks.report import report_lines
from audit.events import EventType, Outcome
from gateway.commands.releases import release_lines
from gateway.errors import EvidenceError, ForbiddenError, NotFoundError
from gateway.flow.build import load_built
from gateway.flow.dossier import release_summary
from gateway.flow.gate import Gate
from gateway.flow.recording import ReleaseMode, Stage
from gateway.flow.records import EvidenceRow
from gateway.review.attack import attack_release
from gateway.review.shown_drives import pieces_of, secret_of, track_of
from gateway.vault.store import Context
from simulators import House, candidate, cleanse
from streets import csv_drive, extract, town


def attacked(world: SimpleNamespace, release: str, person: str = "first", **more):
    return attack_release(
        world.gate,
        release,
        actor=world.house.people[person].actor,
        extract=more.get("extract", io.BytesIO(world.extract)),
        known=more.get("known", (1, 3)),
        progress=more.get("progress", lambda *_: None),
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """Two drives through a made town, released in both modes, one of them in each."""
    folder = tmp_path_factory.mktemp("attacks")
    house, made = House(home=folder / "home"), town()
    rng = np.random.default_rng(11)
    with house.opened() as gate:
        house.furnish(gate)
        drives = [
            cleanse(gate, {"drive.csv": csv_drive(made.drive(rng, 9000.0, turns=0.3), seed=n)})
            for n in range(2)
        ]
        yield SimpleNamespace(
            gate=gate,
            house=house,
            drives=drives,
            extract=extract(made, folder / "town.osm.pbf"),
            local=candidate(gate, house, drives[0]),
            offset=candidate(gate, house, drives[1], mode=ReleaseMode.OFFSET),
        )


def _reports(release: str) -> sa.Select[EvidenceRow]:
    return sa.select(EvidenceRow).where(
        EvidenceRow.owner_id == release, EvidenceRow.stage == Stage.ATTACKED.value
    )


def entries(gate: Gate) -> list[tuple[str, Outcome]]:
    kind = EventType.REVIEW_ATTACK_RUN
    return [(e.event.actor, e.event.outcome) for e in gate.ledger.entries() if e.event.type is kind]


def released_file(world: SimpleNamespace, release: str) -> bytes:
    with world.gate.database.read() as session:
        item = load_built(world.gate, session, release).items[0]
    context = Context(owner=release, object=item.name, role="release")
    return b"".join(world.gate.vault.open(item.seal, context).chunks())


def rebuilt(world: SimpleNamespace, release: str, recording: str, mode: ReleaseMode):
    with world.gate.database.read() as session:
        key = secret_of(world.gate, session, release)
        track = track_of(world.gate, session, recording, mode)
    assert track is not None
    return pieces_of(track, recording, mode.value, key, world.gate.profile.profile.tracks)


def test_what_is_attacked_in_local_mode_is_what_was_released(world):
    rows = [line.split(",") for line in released_file(world, world.local).decode().splitlines()[1:]]
    shown = np.concatenate([p.shown for p in rebuilt(world, world.local, world.drives[0], ReleaseMode.LOCAL)])
    assert np.allclose(shown.real, [float(r[2]) for r in rows], atol=1e-3)
    assert np.allclose(shown.imag, [float(r[3]) for r in rows], atol=1e-3)


def test_what_is_attacked_in_offset_mode_is_what_was_released(world):
    profile = world.gate.profile.profile.tracks
    track = read_csv_track(released_file(world, world.offset), profile=profile, crs="EPSG:4326")
    pieces = rebuilt(world, world.offset, world.drives[1], ReleaseMode.OFFSET)
    assert np.allclose(np.concatenate([p.shown[0] for p in pieces]), track.lat, atol=1e-7)
    assert np.allclose(np.concatenate([p.shown[1] for p in pieces]), track.lon, atol=1e-7)


def test_an_offset_is_undone_by_known_points_and_by_the_map(world):
    told = []
    report = attacked(world, world.offset, progress=lambda *step: told.append(step))
    assert (report["mode"], report["drives"], report["not_attacked"]) == ("OFFSET", 1, 0)
    best = {f["known"]: f["median_m"] for f in report["known_points"] if f["best"]}
    assert best[1] < 25.0
    assert best[3] <= best[1]
    long = [f for f in report["map_matching"] if f["over_m"] == 1500.0]
    assert long[0]["found"] == long[0]["tried"] > 0
    assert {step for step, _, _ in told} >= {"map matching", "joining with a second release"}
    text = "\n".join(report_lines(report))
    assert "偏移不是匿名化" in text
    assert "an offset is no anonymisation" in text


def test_local_clips_are_looked_for_on_every_road(world):
    report = attacked(world, world.local, person="officer")
    assert report["known_points"] == []
    assert sum(f["tried"] for f in report["map_matching"]) > 15
    assert all(f["to_m"] is not None and f["to_m"] <= 300.0 for f in report["map_matching"])
    assert all(f["claimed_wrong"] == 0 for f in report["map_matching"])
    again = report["released_again"]
    assert (again["drives"], again["found"], again["candidates"]) == (1, 1, 2)
    assert (report["other_releases"]["alone"], report["other_releases"]["alone_claimed"]) == (1, 0)
    assert "不隐藏道路形状" in report_lines(report)[-1]


def test_an_extract_of_elsewhere_finds_nothing_and_says_so(world, tmp_path):
    far = extract(town(seed=99), tmp_path / "far.osm.pbf", east_m=40_000.0)
    report = attacked(world, world.offset, extract=io.BytesIO(far))
    assert sum(f["tried"] for f in report["map_matching"]) == 0
    assert sum(f["elsewhere"] for f in report["map_matching"]) > 5
    assert sum(f["elsewhere_claimed"] for f in report["map_matching"]) == 0


def test_the_dossier_shows_the_newest_report_through_its_evidence_and_lists_all(world):
    """Law 6: evidence is appended; a new run takes nothing away from what is known of the ones before."""
    before = release_summary(world.gate, world.offset)["attack_runs"]
    first = attacked(world, world.offset, known=(1,))
    second = attacked(world, world.offset, known=(2,))
    summary = release_summary(world.gate, world.offset)
    shown, runs = summary["attack"], summary["attack_runs"]
    assert {f["known"] for f in shown["known_points"]} == {2}
    assert {k: v for k, v in shown.items() if k not in {"evidence", "ledger_index"}} == second
    entry = world.gate.ledger.entry(shown["ledger_index"])
    assert entry.event.digests["evidence"] == shown["evidence"]
    assert entry.event.outcome is Outcome.COMPLETED
    assert runs[: len(before)] == before
    assert [(run["report"], run["kept"], run["actor"]) for run in runs[len(before) :]] == [
        (first, True, "first"),
        (second, True, "first"),
    ]
    assert runs[-1]["evidence"] == shown["evidence"]
    told = release_lines(summary)
    assert told.count("  attack    ") == len(runs)
    assert "missing" not in told


def test_a_run_whose_report_was_taken_away_is_told(world):
    attacked(world, world.local, known=(1,))
    with world.gate.database.transaction() as session:
        row = session.scalars(_reports(world.local).order_by(EvidenceRow.id.desc())).first()
        kept = {c.name: getattr(row, c.name) for c in EvidenceRow.__table__.columns}
        session.delete(row)
    summary = release_summary(world.gate, world.local)
    last = summary["attack_runs"][-1]
    assert (last["kept"], last["report"], last["evidence"]) == (False, None, kept["digest"])
    with world.gate.database.transaction() as session:
        session.add(EvidenceRow(**kept))
    assert release_summary(world.gate, world.local)["attack_runs"][-1]["kept"]


def test_an_altered_report_stops_the_dossier_also_where_it_is_not_the_newest(world):
    attacked(world, world.local, known=(1,))
    attacked(world, world.local, known=(1,))
    with world.gate.database.read() as session:
        rows = session.scalars(_reports(world.local).order_by(EvidenceRow.id)).all()[-2:]
        seals = {row.id: row.sealed for row in rows}
    for number, sealed in seals.items():
        where = EvidenceRow.id == number
        with world.gate.database.transaction() as session:
            flipped = sealed[:-1] + bytes([sealed[-1] ^ 1])
            session.execute(sa.update(EvidenceRow).where(where).values(sealed=flipped))
        with pytest.raises(EvidenceError):
            release_summary(world.gate, world.local)
        with world.gate.database.transaction() as session:
            session.execute(sa.update(EvidenceRow).where(where).values(sealed=sealed))
    assert release_summary(world.gate, world.local)["attack"]["mode"] == "LOCAL"


def test_every_other_stage_is_passed_once(world):
    with world.gate.database.read() as session:
        row = session.scalars(
            sa.select(EvidenceRow).where(
                EvidenceRow.owner_id == world.local, EvidenceRow.stage == Stage.JUDGED.value
            )
        ).one()
        again = {c.name: getattr(row, c.name) for c in EvidenceRow.__table__.columns if c.name != "id"}
    with pytest.raises(sa.exc.IntegrityError), world.gate.database.transaction() as session:
        session.add(EvidenceRow(**again))


def test_who_may_not_attack_is_refused_and_nothing_is_kept(world):
    before = len(entries(world.gate))
    with pytest.raises(ForbiddenError):
        attacked(world, world.offset, person="engineer")
    with pytest.raises(NotFoundError):
        attacked(world, "0" * 32)
    assert len(entries(world.gate)) == before


def test_a_file_that_is_no_extract_leaves_a_refused_entry(world):
    with pytest.raises(UnknownFormatError):
        attacked(world, world.offset, extract=io.BytesIO(b"\x89PNG"))
    assert entries(world.gate)[-2:] == [("first", Outcome.INTENT), ("first", Outcome.REFUSED)]
