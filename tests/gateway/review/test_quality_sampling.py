"""Rule 17: no picture leaves before a person counted in a sample of all, nor from a batch below the threshold."""

import csv
import io
import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image

from anonymize.media.acceptance import SamplingTerms
from audit.events import EventType, Outcome
from audit.query import EntryFilter, find_all
from gateway.database import WriteSession
from gateway.errors import (
    ApprovalInvalidError,
    ConflictError,
    DeniedError,
    EvidenceError,
    ForbiddenError,
    InvalidRequestError,
    NotFoundError,
    ReviewPendingError,
    StageOrderError,
)
from gateway.flow.build import build_release, load_built
from gateway.flow.cleanse import load_cleansed
from gateway.flow.dossier import release_summary
from gateway.flow.gate import Gate
from gateway.flow.judge import judge_release
from gateway.flow.recording import Built, ReleaseMode, ReleaseState
from gateway.flow.records import QualityRecordRow, ReleaseRow
from gateway.flow.release import load_approved
from gateway.flow.request import ReleaseRequest, request_release
from gateway.people.records import PersonRow
from gateway.review.quality import draw_sample, record_counts, show_pictures, show_sample, sign_counts
from gateway.review.quality_counts import (
    COLUMNS,
    KindCount,
    PictureCount,
    counts_from_csv,
    counts_from_json,
)
from gateway.review.quality_pictures import PicturedItem, picture_of
from gateway.review.quality_sample import draw, load_sample
from gateway.review.quality_standing import Looked, Quality, proved
from simulators import (
    PURPOSE,
    RECIPIENT,
    SMALL_DRIVE,
    House,
    cleanse,
    count_pictures,
    csv_track,
    png,
    sign,
    video,
)

STILLS = 9
FRAMES = 4


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A furnished gate with a drive of nine stills and a video of four frames, none with a face or plate."""
    house = House(home=tmp_path_factory.mktemp("quality") / "home")
    with house.opened() as gate:
        house.furnish(gate)
        house.enrol(gate, "deputy", "compliance_officer")
        drive = {f"cam/{n}.png": png(seed=n) for n in range(STILLS)}
        files = {**drive, "v.mp4": video(frames=FRAMES), "drive.csv": csv_track()}
        recording = cleanse(gate, files, attestation="no position")
        yield SimpleNamespace(house=house, gate=gate, recording=recording)


def built(place: SimpleNamespace, recording: str = "") -> str:
    request = ReleaseRequest(
        recordings=[recording or place.recording],
        purpose=PURPOSE,
        recipient=RECIPIENT,
        mode=ReleaseMode.LOCAL,
        expires_at=place.gate.clock() + timedelta(days=30),
    )
    made = request_release(place.gate, request, actor=place.house.people["submitter"].actor)
    build_release(place.gate, made)
    return made


def drawn(place: SimpleNamespace, recording: str = "", person: str = "officer") -> SimpleNamespace:
    release = built(place, recording)
    shown = draw_sample(place.gate, release, actor=place.house.people[person].actor)
    return SimpleNamespace(release=release, shown=shown, sampled=shown["sampled"])


def own_recording(place: SimpleNamespace, stills: int = 2) -> str:
    """A drive of its own, for what leaves a failed sample behind."""
    seed = secrets.randbelow(8)
    return cleanse(
        place.gate,
        {f"{n}.png": png(width=40 + n, seed=seed) for n in range(stills)},
        attestation="no position",
    )


def state_of(gate: Gate, release: str) -> str:
    with gate.database.read() as session:
        return session.get_one(ReleaseRow, release).state


def entries(gate: Gate, release: str, kind: EventType) -> list[tuple[Outcome, Mapping[str, object]]]:
    with gate.ledger.snapshot() as snapshot:
        found = find_all(snapshot, EntryFilter(release=release, types=(kind,)))
        return [(entry.event.outcome, entry.event.facts) for entry in found]


def loaded(gate: Gate, release: str) -> Built:
    with gate.database.read() as session:
        return load_built(gate, session, release)


def numbers(sample: SimpleNamespace) -> dict[int, int]:
    return dict.fromkeys(range(1, sample.sampled + 1), 0)


def test_a_release_with_pictures_waits_until_every_sampled_one_was_counted(place: SimpleNamespace) -> None:
    """Partial counts are kept, and the candidate is judged once the last one is there."""
    gate, house = place.gate, place.house
    release = built(place)
    with pytest.raises(ReviewPendingError, match=f"fleetgate quality sample {release}") as waiting:
        judge_release(gate, release)
    assert waiting.value.release == release
    assert release_summary(gate, release)["quality"] == {"standing": "not_drawn"}
    shown = draw_sample(gate, release, actor=house.people["officer"].actor)
    assert (shown["standing"], shown["pictures"]) == ("pending", STILLS + FRAMES)
    assert 1 < shown["sampled"] < shown["pictures"]
    last = shown["sampled"]
    count_pictures(gate, house, release, dict.fromkeys(range(1, last), 0))
    assert show_sample(gate, release, actor=house.people["auditor"].actor)["waiting"] == [last]
    with pytest.raises(ReviewPendingError):
        judge_release(gate, release)
    assert state_of(gate, release) == ReleaseState.BUILT
    count_pictures(gate, house, release, {last: 0}, person="deputy")
    judge_release(gate, release)
    quality = release_summary(gate, release)["quality"]
    assert (quality["standing"], quality["reviewed"], quality["threshold_unverified"]) == (
        "reached",
        last,
        True,
    )
    assert [record["reviewer"] for record in quality["records"]] == ["officer", "deputy"]
    face = quality["kinds"]["face"]
    assert (face["hits"], face["misses"], face["recall"]) == (last, 0, 1.0)
    assert face["lower_bound"] >= quality["threshold"] == 0.9
    assert face["found"]["low"] == pytest.approx(0.025 ** (1 / last), abs=1e-4)
    assert face["found"]["lower_bound"] == pytest.approx(0.05 ** (1 / last), abs=1e-5)


def test_a_sample_is_drawn_once_and_before_anybody_looks(place: SimpleNamespace) -> None:
    gate, officer = place.gate, place.house.people["officer"].actor
    release = built(place)
    with pytest.raises(NotFoundError, match="no sample"):
        list(show_pictures(gate, release, actor=officer))
    assert entries(gate, release, EventType.REVIEW_QUALITY_READ) == []
    shown = draw_sample(gate, release, actor=officer)
    with pytest.raises(ConflictError, match="no second one"):
        draw_sample(gate, release, actor=officer)
    outcomes = entries(gate, release, EventType.REVIEW_QUALITY_SAMPLE)
    assert [outcome for outcome, _ in outcomes] == [Outcome.INTENT, Outcome.COMPLETED, Outcome.REFUSED]
    assert outcomes[1][1] == {"pictures": STILLS + FRAMES, "sampled": shown["sampled"]}
    with gate.database.read() as session:
        first, again = (load_sample(gate, session, loaded(gate, release)) for _ in range(2))
    assert first == again
    assert first is not None
    assert first.digest == shown["sample"]


def test_a_batch_below_the_threshold_is_denied_and_its_items_cannot_try_again(place: SimpleNamespace) -> None:
    """Law 5: neither a second sample of the same items nor a count after the fact gets it out."""
    gate, house, recording = place.gate, place.house, own_recording(place)
    failed, other = drawn(place, recording), drawn(place, recording)
    count_pictures(gate, house, other.release, numbers(other))
    count_pictures(gate, house, failed.release, {1: 0, 2: 1})
    with pytest.raises(DeniedError) as denied:
        judge_release(gate, failed.release)
    assert [v.rule for v in denied.value.decision.violations] == ["quality_sampled"]
    assert state_of(gate, failed.release) == ReleaseState.DENIED
    with pytest.raises(StageOrderError):
        count_pictures(gate, house, failed.release, {2: 0})
    with pytest.raises(DeniedError):
        judge_release(gate, other.release)
    assert state_of(gate, other.release) == ReleaseState.DENIED
    (shown,) = release_summary(gate, failed.release)["quality"]["nonconforming_pictures"]
    assert shown["picture"] == 2


def test_a_look_that_was_broken_off_at_a_miss_stands_in_the_way(place: SimpleNamespace) -> None:
    gate, house, recording = place.gate, place.house, own_recording(place)
    left, other = drawn(place, recording), drawn(place, recording)
    count_pictures(gate, house, left.release, {1: 1})
    count_pictures(gate, house, other.release, numbers(other))
    with pytest.raises(DeniedError):
        judge_release(gate, other.release)


def test_many_misses_in_few_pictures_are_denied_by_recall(place: SimpleNamespace) -> None:
    """Of 30 pictures one may show a face; that it shows forty of them is too many."""
    candidate = loaded(place.gate, built(place))
    items = [PicturedItem(name="a.mp4", pictures=50, masked=(), light="")]
    sample = draw(candidate, items, TERMS, b"k" * 32)
    assert sample.plans["clear"].allowed == 1
    none = KindCount(masked=0, missed=0)

    def looked(missed: int) -> Looked:
        counts = {
            p.number: PictureCount(picture=p.number, face=KindCount(masked=1, missed=0), plate=none)
            for p in sample.pictures
        }
        counts[1] = PictureCount(picture=1, face=KindCount(masked=0, missed=missed), plate=none)
        return Looked(sample=sample, counts=counts, records=(), corrected=0)

    assert looked(1).standing() is Quality.REACHED
    assert looked(40).standing() is Quality.MISSED
    assert proved(looked(40), "face").lower_bound == proved(looked(1), "face").lower_bound >= 0.9
    assert proved(looked(40), "face").recall == pytest.approx(28 / 68, abs=1e-6)
    assert proved(looked(1), "plate").recall is None


def test_recall_weighs_a_picture_by_how_many_stand_behind_it(place: SimpleNamespace) -> None:
    """One miss among pictures without masks weighs more than one among the few with masks."""
    candidate = loaded(place.gate, built(place))
    items = [PicturedItem(name="a.mp4", pictures=1000, masked=((0, 9),), light="")]
    sample = draw(candidate, items, TERMS, b"k" * 32)
    none = KindCount(masked=0, missed=0)
    counts = {
        p.number: PictureCount(
            picture=p.number, face=KindCount(masked=5 * (p.stratum == "masked"), missed=0), plate=none
        )
        for p in sample.pictures
    }
    clear = next(p.number for p in sample.pictures if p.stratum == "clear")
    counts[clear] = PictureCount(picture=clear, face=KindCount(masked=0, missed=1), plate=none)
    found = proved(Looked(sample=sample, counts=counts, records=(), corrected=0), "face")
    weight = 991 / sample.plans["clear"].size
    assert (found.hits, found.misses) == (45, 1)
    assert found.recall == pytest.approx(45 / (45 + weight), abs=2e-6)


def test_a_correction_is_appended_and_shown_and_a_late_miss_stops_publication(place: SimpleNamespace) -> None:
    gate, house, recording = place.gate, place.house, own_recording(place)
    sample = drawn(place, recording)
    count_pictures(gate, house, sample.release, {1: 1, 2: 0})
    count_pictures(gate, house, sample.release, {1: 0}, person="deputy")
    judge_release(gate, sample.release)
    shown = release_summary(gate, sample.release)["quality"]
    assert (shown["standing"], shown["corrected"], len(shown["records"])) == ("reached", 1, 2)
    sign(gate, house, sample.release, "first")
    sign(gate, house, sample.release, "second")
    count_pictures(gate, house, sample.release, {2: 1})
    with pytest.raises(DeniedError):
        load_approved(gate, sample.release, actor=house.people["first"].actor)
    facts = [facts for outcome, facts in entries(gate, sample.release, EventType.REVIEW_QUALITY_RECORD)
             if outcome is Outcome.COMPLETED]  # fmt: skip
    assert [each["standing"] for each in facts] == ["missed", "reached", "missed"]


def test_who_submitted_counts_nothing_and_others_without_the_role_do_not(place: SimpleNamespace) -> None:
    """Law 8; the attempts are in the ledger."""
    gate, house, sample = place.gate, place.house, drawn(place)
    with pytest.raises(ForbiddenError, match="duties_separated"):
        count_pictures(gate, house, sample.release, {1: 0}, person="submitter")
    assert entries(gate, sample.release, EventType.REVIEW_QUALITY_RECORD) == []
    assert entries(gate, sample.release, EventType.JUDGE_ACT_DECIDE)[-1][0] is Outcome.REFUSED
    for person in ("engineer", "auditor", "admin"):
        with pytest.raises(ForbiddenError):
            count_pictures(gate, house, sample.release, {1: 0}, person=person)
        with pytest.raises(ForbiddenError):
            list(show_pictures(gate, sample.release, actor=house.people[person].actor))
    with pytest.raises(ForbiddenError):
        show_sample(gate, sample.release, actor=house.people["engineer"].actor)


def test_counts_are_signed_by_their_reviewer_for_this_sample(place: SimpleNamespace) -> None:
    gate, people, sample, other = place.gate, place.house.people, drawn(place), drawn(place)
    officer, deputy = people["officer"], people["deputy"]
    counts = [
        PictureCount(picture=1, face=KindCount(masked=0, missed=0), plate=KindCount(masked=0, missed=0))
    ]
    statements = {
        "another key": sign_counts(gate, sample.release, counts, reviewer="officer", key=deputy.key),
        "another name": sign_counts(gate, sample.release, counts, reviewer="deputy", key=officer.key),
        "another release": sign_counts(gate, other.release, counts, reviewer="officer", key=officer.key),
        "no statement": "nothing shows",
    }
    for statement in statements.values():
        with pytest.raises(ApprovalInvalidError):
            record_counts(gate, sample.release, statement, actor=officer.actor)
    with pytest.raises(InvalidRequestError, match="no such picture"):
        count_pictures(gate, place.house, sample.release, {sample.sampled + 1: 0})
    assert show_sample(gate, sample.release, actor=officer.actor)["reviewed"] == 0


def _suspend(session: WriteSession, row: QualityRecordRow) -> None:
    session.get_one(PersonRow, row.reviewer).suspended_at = datetime.now(UTC)


def _demote(session: WriteSession, row: QualityRecordRow) -> None:
    session.get_one(PersonRow, row.reviewer).roles = ["auditor"]


def _forget(session: WriteSession, row: QualityRecordRow) -> None:
    session.delete(row)


def _alter(session: WriteSession, row: QualityRecordRow) -> None:
    del session
    row.sealed = row.sealed[:-1] + bytes([row.sealed[-1] ^ 1])


TAMPERED: dict[str, tuple[Callable[[WriteSession, QualityRecordRow], None], type[Exception]]] = {
    "its reviewer was suspended": (_suspend, ReviewPendingError),
    "its reviewer lost the role": (_demote, ReviewPendingError),
    "its row is gone": (_forget, EvidenceError),
    "its row was altered": (_alter, EvidenceError),
}


@pytest.mark.parametrize(("tamper", "error"), TAMPERED.values(), ids=TAMPERED.keys())
def test_a_record_does_not_count_where(
    place: SimpleNamespace,
    tamper: Callable[[WriteSession, QualityRecordRow], None],
    error: type[Exception],
) -> None:
    """Law 6: what counts is what the ledger attests, of whoever may count now."""
    gate, house, sample = place.gate, place.house, drawn(place)
    person = f"clerk-{secrets.token_hex(4)}"
    house.enrol(gate, person, "compliance_officer")
    count_pictures(gate, house, sample.release, numbers(sample), person=person)
    with gate.database.transaction() as session:
        rows = sa.select(QualityRecordRow).where(QualityRecordRow.release_id == sample.release)
        tamper(session, session.scalars(rows).one())
    with pytest.raises(error):
        judge_release(gate, sample.release)
    assert state_of(gate, sample.release) == ReleaseState.BUILT


def test_a_row_that_the_ledger_does_not_attest_counts_for_nothing(place: SimpleNamespace) -> None:
    gate, sample = place.gate, drawn(place)
    with gate.database.transaction() as session:
        row = QualityRecordRow(
            digest=secrets.token_hex(32), release_id=sample.release, reviewer="officer", sealed=b"x"
        )
        session.add(row)
    with pytest.raises(ReviewPendingError):
        judge_release(gate, sample.release)


def test_a_sample_of_another_secret_is_broken_evidence(place: SimpleNamespace) -> None:
    """Law 6: nobody exchanges what the sample was drawn by."""
    gate, sample, other = place.gate, drawn(place), drawn(place)
    with gate.database.transaction() as session:
        theirs = session.get_one(ReleaseRow, other.release)
        session.get_one(ReleaseRow, sample.release).unlink_sealed = theirs.unlink_sealed
    with pytest.raises(Exception, match=r"open|seal|key"):
        judge_release(gate, sample.release)
    assert state_of(gate, sample.release) == ReleaseState.BUILT


def test_pictures_are_shown_as_they_would_leave_in_full_size(place: SimpleNamespace) -> None:
    """What the reviewer sees is pixel by pixel what the release holds; each look is an entry."""
    gate, officer, sample = place.gate, place.house.people["officer"].actor, drawn(place)
    candidate = loaded(gate, sample.release)
    with gate.database.read() as session:
        pictures = load_sample(gate, session, candidate).pictures  # type: ignore[union-attr]
        sources = {i.name: load_cleansed(gate, session, i.source) for i in candidate.items}
    for number, sheet in show_pictures(gate, sample.release, actor=officer):
        picture = pictures[number - 1]
        image = picture_of(gate, candidate, sources[picture.item], picture.item, picture.index)
        with Image.open(io.BytesIO(sheet)) as opened:
            assert opened.info == {}
            shown = np.asarray(opened)
        height, width = image.shape[:2]
        assert np.array_equal(shown[38 : 38 + height, 22 : 22 + width], image)
    outcomes = entries(gate, sample.release, EventType.REVIEW_QUALITY_READ)
    assert outcomes[-1] == (Outcome.COMPLETED, {"pictures": sample.sampled})
    for number in (0, sample.sampled + 1):
        with pytest.raises(NotFoundError, match="no such picture"):
            list(show_pictures(gate, sample.release, actor=officer, numbers=[number]))


def test_a_release_without_pictures_needs_no_sample(place: SimpleNamespace) -> None:
    gate = place.gate
    release = built(place, cleanse(gate, SMALL_DRIVE))
    with pytest.raises(InvalidRequestError, match="no picture"):
        draw_sample(gate, release, actor=place.house.people["officer"].actor)
    judge_release(gate, release)
    assert release_summary(gate, release)["quality"] is None


ROW = dict.fromkeys(COLUMNS, "0") | {"picture": "1"}


def as_csv(*rows: Mapping[str, str]) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


BAD_CSV = {
    "nothing": (b"", "expected picture"),
    "no rows": (as_csv(ROW).split(b"\r\n")[0], "too_short|at least 1"),
    "a column is missing": (b"picture,faces_masked\n1,0\n", "other columns"),
    "an unknown column": (as_csv(ROW | {"note": "x"}), "other columns"),
    "no number": (as_csv(ROW | {"faces_missed": "two"}), "line 2, faces_missed .got 'two'"),
    "a negative number": (as_csv(ROW | {"faces_missed": "-1"}), "'-1'"),
    "an empty field": (as_csv(ROW | {"false_masks": ""}), "false_masks"),
    "a picture twice": (as_csv(ROW, ROW), "named twice .got 1"),
    "picture 0": (as_csv(ROW | {"picture": "0"}), "greater than or equal to 1"),
    "too many fields": (as_csv(ROW) + b"1,0,0,0,0,0,0,0,0\n", "more fields"),
    "more sides than misses": (as_csv(ROW | {"faces_missed_px": "31"}), "more sides than misses"),
    "no text": (b"\xff\xfe\x00", "UTF-8"),
}


@pytest.mark.parametrize(("content", "message"), BAD_CSV.values(), ids=BAD_CSV.keys())
def test_counts_that_are_none_are_refused_by_name(content: bytes, message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        counts_from_csv(content)


BAD_JSON = {
    "no JSON": "counts",
    "an object": {"picture": 1},
    "an empty list": [],
    "a text for a number": [
        {"picture": "1", "face": {"masked": 0, "missed": 0}, "plate": {"masked": 0, "missed": 0}}
    ],
    "no plates": [{"picture": 1, "face": {"masked": 0, "missed": 0}}],
    "an unknown field": [
        {"picture": 1, "face": {"masked": 0, "missed": 0, "blurred": 1}, "plate": {"masked": 0, "missed": 0}}
    ],
    "a share": [{"picture": 1, "face": {"masked": 0.5, "missed": 0}, "plate": {"masked": 0, "missed": 0}}],
}


@pytest.mark.parametrize("document", BAD_JSON.values(), ids=BAD_JSON.keys())
def test_counts_in_json_are_read_strictly(document: object) -> None:
    with pytest.raises(InvalidRequestError, match="counts: "):
        counts_from_json(json.dumps(document).encode() if document != "counts" else b"counts")


def test_csv_and_json_say_the_same() -> None:
    rows = as_csv(ROW | {"faces_missed": "2", "faces_missed_px": "31 12", "plates_missed_px": ""})
    document = [{"picture": 1, "face": {"masked": 0, "missed": 2, "missed_px": [31, 12]},
                 "plate": {"masked": 0, "missed": 0}}]  # fmt: skip
    assert counts_from_csv(rows) == counts_from_json(json.dumps(document).encode())


TERMS = SamplingTerms(
    threshold=Fraction("0.9"), confidence=Fraction("0.95"),
    good_share=Fraction("0.98"), good_accepted=Fraction("0.95"),
)  # fmt: skip


def test_every_stratum_is_sampled_and_the_order_tells_none(place: SimpleNamespace) -> None:
    """Pictures in which nothing was masked are in the sample, where misses hide, and mixed among the others."""
    candidate = loaded(place.gate, built(place))
    items = [
        PicturedItem(name="a.mp4", pictures=900, masked=((0, 40), (300, 420)), light=""),
        PicturedItem(name="b.mcap", pictures=120, masked=None, light=""),
        PicturedItem(name="c.png", pictures=1, masked=(), light="night"),
    ]
    sample = draw(candidate, items, TERMS, b"k" * 32)
    assert {name: plan.population for name, plan in sample.plans.items()} == {
        "masked": 160, "clear": 741, "unknown": 120,
    }  # fmt: skip
    strata = [picture.stratum for picture in sample.pictures]
    assert {name: strata.count(name) for name in sample.plans} == {
        name: plan.size for name, plan in sample.plans.items()
    }
    half = len(strata) // 2
    assert all(name in strata[:half] and name in strata[half:] for name in sample.plans)
    assert [picture.number for picture in sample.pictures] == list(range(1, len(strata) + 1))
    assert len({(picture.item, picture.index) for picture in sample.pictures}) == len(strata)


def test_each_picture_is_drawn_as_often_as_any_other(place: SimpleNamespace) -> None:
    """400 keys: each of 60 pictures is in the sample about as often as the plan's share says."""
    candidate = loaded(place.gate, built(place))
    items = [PicturedItem(name="a.mp4", pictures=60, masked=(), light="")]
    drawings = [draw(candidate, items, TERMS, n.to_bytes(32)) for n in range(400)]
    share = drawings[0].plans["clear"].size / 60
    often = np.bincount([p.index for each in drawings for p in each.pictures], minlength=60) / 400
    assert np.abs(often - share).max() < 4.5 * np.sqrt(share * (1 - share) / 400)
    assert len({each.digest for each in drawings}) == 400
