"""The label server over HTTP, in front of a real gate: who sees what, how saves meet, what ends it."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from audit.events import EventType
from gateway.flow.release import revoke_release
from label_servers import FRAMES, SIZE, Gated, Labelled, box, made_task, mark_share, serving
from pipeline.labelling.invitations import invite
from pipeline.labelling.watermark import picture_size


def test_a_frame_is_shown_once_marked_and_never_stored(served: Labelled):
    wang = served.enter("wang")

    frame = wang.frame(0)
    shown = wang.http.get(frame["picture"])

    assert shown.status_code == 200
    assert shown.headers["cache-control"] == "no-store"
    assert (frame["width"], frame["height"]) == SIZE == picture_size(shown.content)
    with served.gated.client() as client:
        original = client.read(served.task.release, served.task.frames[0].item)
    share, noise = mark_share(shown.content, original)
    assert 0.02 < share < 0.25
    assert noise > 28
    again = wang.http.get(frame["picture"])
    assert again.status_code == 403
    assert again.json()["reason"] == "frame_token_invalid"


def test_every_answer_has_the_headers_of_a_strict_page(served: Labelled):
    wang = served.enter("wang")

    for path in ("/", "/enter", "/api/frames/0", "/api/objects", "/static/editor.js", "/none"):
        answer = wang.http.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"


def test_the_mark_names_the_person_and_differs_with_them(served: Labelled):
    wang, li = served.enter("wang"), served.enter("li")

    one = wang.http.get(wang.frame(0)["picture"]).content
    other = li.http.get(li.frame(0)["picture"]).content

    assert mark_share(one, other)[0] > 0.01


def test_a_view_is_in_the_journal_and_in_the_ledger_of_the_gate(served: Labelled):
    wang = served.enter("wang")
    gate = served.gated.gate
    entries = (EventType.SERVE_ITEM_READ, EventType.USE_RELEASE_REPORT)
    before = Counter(entry.event.type for entry in gate.ledger.entries())

    wang.http.get(wang.frame(2)["picture"])

    views = [line for line in served.folder.journal() if line["act"] == "view"]
    assert [(line["by"], line["facts"]["frame"]) for line in views] == [("wang", 2)]
    assert views[0]["facts"]["sha256"] == served.task.frames[2].sha256
    after = Counter(entry.event.type for entry in gate.ledger.entries())
    assert all(after[each] > before[each] for each in entries)
    reports = [e for e in gate.ledger.entries() if e.event.type is EventType.USE_RELEASE_REPORT]
    words = [detail for entry in reports[-2:] if (detail := gate.ledger.detail(entry.index))]
    said = json.loads(words[0])
    assert (said["person"], said["frame"], said["task"]) == ("wang", 2, served.task.id)


def test_a_token_of_a_picture_serves_its_own_session_for_a_minute(served: Labelled):
    wang, li = served.enter("wang"), served.enter("li")
    of_wang = wang.frame(0)["picture"]

    assert li.http.get(of_wang).status_code == 403
    assert httpx.get(served.url + of_wang).status_code == 401
    served.ahead = timedelta(seconds=61)
    assert wang.http.get(of_wang).status_code == 403


@pytest.mark.parametrize("number", [-1, FRAMES, 10**12])
def test_a_frame_that_is_not_of_the_task_is_not_found(served: Labelled, number: int):
    wang = served.enter("wang")

    assert wang.http.get(f"/api/frames/{number}").status_code == 404
    assert wang.save(number, 0).status_code == 404


def test_nobody_gets_in_without_an_invitation_of_theirs(served: Labelled):
    for token in ("", "nonsense", f"{served.task.id}.nonsense", "../../etc.x", "task-000000000000.x"):
        person = served.person(token)
        assert person.entered.status_code == 403
        assert person.http.get("/api/frames/0").status_code == 401
        assert person.http.get("/").headers["location"] == "/enter"


def test_sessions_end_when_idle_after_hours_and_with_a_newer_invitation(served: Labelled):
    wang = served.enter("wang")
    assert wang.http.get("/api/objects").status_code == 200
    served.ahead = timedelta(minutes=31)
    assert wang.http.get("/api/objects").status_code == 401

    wang = served.enter("wang")
    for _ in range(17):
        served.ahead += timedelta(minutes=29)
        wang.http.get("/api/objects")
    assert wang.http.get("/api/objects").status_code == 401

    served.ahead = timedelta()
    wang = served.enter("wang")
    newer = invite(
        served.folder, served.task, "wang", ends_at=served.task.expires_at, now=datetime.now(tz=UTC)
    )
    assert wang.http.get("/api/objects").status_code == 401
    assert served.person(wang.token).entered.status_code == 403
    assert served.person(newer).http.get("/api/objects").status_code == 200


def test_requests_of_other_sites_and_hosts_are_refused(served: Labelled):
    wang = served.enter("wang")

    foreign = wang.http.post("/api/objects", json={"class": "car"}, headers={"Origin": "http://127.0.0.1:1"})
    form = wang.http.post("/api/objects", data={"class": "car"})
    rebound = wang.http.get("/api/frames/0", headers={"Host": "evil.example"})

    assert (foreign.status_code, form.status_code, rebound.status_code) == (403, 422, 421)


def test_there_is_no_way_to_export(served: Labelled):
    wang = served.enter("wang")

    for path in ("/export", "/api/export", "/api/labels", "/api/frames", "/docs", "/openapi.json"):
        assert wang.http.get(path).status_code == 404


def test_too_many_pictures_in_a_minute_are_refused(labelled: Labelled):
    with serving(labelled, views_per_minute=3) as served:
        wang = served.enter("wang")
        statuses = [wang.http.get(wang.frame(n % FRAMES)["picture"]).status_code for n in range(5)]

    assert statuses == [200, 200, 200, 429, 429]


def test_a_save_is_durable_and_names_its_source(served: Labelled):
    wang = served.enter("wang")
    car = wang.object()

    saved = wang.save(0, 0, box(car, attributes={"occlusion": "partial"}))

    assert saved.status_code == 200, saved.text
    assert saved.headers["etag"] == '"1"'
    label = wang.frame(0)["labels"][0]
    assert (label["source"], label["key"], label["review"]) == ("person:wang", True, "open")
    assert label["attributes"] == {"occlusion": "partial"}


def test_of_two_saves_on_one_revision_the_second_conflicts_and_both_are_kept(served: Labelled):
    wang, li = served.enter("wang"), served.enter("li")
    car = wang.object()
    first, second = wang.save(0, 0, box(car, x=30)), li.save(0, 0, box(car, x=60))

    assert (first.status_code, second.status_code) == (200, 412)
    body = second.json()
    assert (body["reason"], body["last"]["by"], body["last"]["revision"]) == ("conflict", "wang", 1)
    kept = served.folder.conflict(body["kept"])
    assert (kept.by, kept.value["labels"][0]["geometry"]["x"]) == ("li", 60)
    assert li.save(0, 1, box(car, x=60)).status_code == 200
    assert served.folder.revision("frame:0", 1).value["labels"][0]["geometry"]["x"] == 30


def test_a_save_that_is_sent_again_is_the_same_save(served: Labelled):
    wang = served.enter("wang")
    car = wang.object()

    first, again = wang.save(0, 0, box(car)), wang.save(0, 0, box(car))

    assert (first.json()["revision"], again.json()["revision"]) == (1, 1)
    assert served.folder.conflicts() == ()


def test_a_save_without_its_revision_is_refused(served: Labelled):
    wang = served.enter("wang")

    for tag in ({}, {"If-Match": "*"}, {"If-Match": '"x"'}):
        assert wang.http.put("/api/frames/0", json={"labels": []}, headers=tag).status_code == 428


WRONG = {
    "unknown object": box("77"),
    "outside": box("1", x=600),
    "no area": {
        "object": "1",
        "geometry": {"kind": "bbox", "x": 1, "y": 1, "width": 0, "height": 5},
        "attributes": {},
    },
    "unknown attribute": box("1", attributes={"colour": "red"}),
    "unknown value": box("1", attributes={"occlusion": "sometimes"}),
    "crossing ring": {
        "object": "1",
        "geometry": {"kind": "polygon", "points": [[0, 0], [9, 9], [9, 0], [0, 9]]},
        "attributes": {},
    },
    "no shape": {"object": "1", "attributes": {}},
    "a text": "label",
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_label_is_refused_with_the_reason(served: Labelled, case: str):
    wang = served.enter("wang")
    assert wang.object() == "1"

    answer = wang.save(0, 0, WRONG[case])  # type: ignore[arg-type]

    assert answer.status_code == 422
    assert answer.json()["detail"]
    assert wang.frame(0)["revision"] == 0


def test_a_reviewer_rejects_with_a_reason_and_the_annotator_reads_it(served: Labelled):
    wang, zhao = served.enter("wang"), served.enter("zhao")
    car = wang.object()
    wang.save(0, 0, box(car))

    silent = zhao.review(0, 1, {"object": car, "kind": "bbox", "review": "rejected"})
    said = zhao.review(0, 1, {"object": car, "kind": "bbox", "review": "rejected", "reason": "框太大"})

    assert (silent.status_code, said.status_code) == (422, 200)
    label = wang.frame(0)["labels"][0]
    assert (label["review"], label["reviewer"], label["reason"]) == ("rejected", "zhao", "框太大")
    corrected = wang.save(0, 2, box(car, x=33)).json()["labels"][0]
    assert (corrected["review"], corrected["reason"]) == ("open", None)
    accepted = zhao.review(0, 3, {"object": car, "kind": "bbox", "review": "accepted"}).json()["labels"][0]
    assert (accepted["review"], accepted["source"]) == ("accepted", "person:wang")
    untouched = wang.save(0, 4, box(car, x=33)).json()["labels"][0]
    assert untouched["review"] == "accepted"


def test_annotators_do_not_review_and_reviewers_do_not_label(served: Labelled):
    wang, zhao = served.enter("wang"), served.enter("zhao")
    car = wang.object()

    assert zhao.save(0, 0, box(car)).status_code == 403
    assert zhao.http.post("/api/objects", json={"class": "car"}).status_code == 403
    assert wang.review(0, 0, {"object": car, "kind": "bbox", "review": "accepted"}).status_code == 403


def test_labels_between_key_frames_are_interpolated_and_saved_in_their_frames(served: Labelled):
    wang = served.enter("wang")
    car = wang.object()
    wang.save(0, 0, box(car, x=30))
    wang.save(4, 0, box(car, x=390))

    done = wang.http.post(f"/api/objects/{car}/interpolation", json={"kind": "bbox"})

    assert done.json() == {"saved": [1, 2, 3], "left": []}
    between = [wang.frame(n)["labels"][0] for n in (1, 2, 3)]
    assert [label["geometry"]["x"] for label in between] == [120, 210, 300]
    assert {(label["key"], label["source"]) for label in between} == {(False, "person:wang")}
    confirmed = wang.save(2, 1, box(car, x=210, confirmed=True)).json()["labels"][0]
    assert confirmed["key"] is True


def test_another_class_for_an_object_must_fit_its_labels(served: Labelled):
    wang = served.enter("wang")
    car = wang.object()
    wang.save(0, 0, box(car, attributes={"moving": True}))

    misfit = wang.http.put(f"/api/objects/{car}", json={"class": "traffic_sign"})
    fit = wang.http.put(f"/api/objects/{car}", json={"class": "truck"})

    assert (misfit.status_code, fit.status_code) == (422, 200)
    assert wang.http.get("/api/objects").json() == {"objects": [{"id": car, "class": "truck"}]}


def test_a_task_that_is_over_shows_nothing(served: Labelled):
    wang = served.enter("wang")
    wang.save(0, 0, box(wang.object()))
    served.ahead = served.task.expires_at - datetime.now(tz=UTC) - timedelta(minutes=20)
    late = served.enter("li")
    assert late.http.get("/api/objects").status_code == 200

    served.ahead += timedelta(minutes=21)

    assert late.http.get("/api/frames/0").status_code in {401, 403}
    assert served.person(late.token).entered.status_code == 403
    assert len(served.folder.revision("frame:0", 1).value["labels"]) == 1


def test_a_revoked_release_shows_nothing_and_the_work_is_kept_sealed(label_gate: Gated, tmp_path: Path):
    release = label_gate.release()
    with serving(made_task(label_gate, tmp_path / "tasks", release)) as served:
        wang = served.enter("wang")
        car, frame = wang.object(), wang.frame(0)
        wang.save(0, 0, box(car))

        revoke_release(label_gate.gate, release, actor=label_gate.house.people["first"].actor)

        late = wang.save(0, 1, box(car, x=44))
        assert (late.status_code, late.json()["reason"], late.json()["kept"]) == (403, "release_ended", 2)
        assert "labels" not in late.json()
        for path in (frame["picture"], "/api/frames/0", "/api/objects", "/api/progress"):
            answer = wang.http.get(path)
            assert (answer.status_code, answer.json()["reason"]) == (403, "release_ended")
        page = wang.http.get("/")
        assert page.status_code == 403
        assert "已被撤销" in page.text
        assert 'id="given"' not in page.text
        assert served.folder.last("frame:0").value["labels"][0]["geometry"]["x"] == 44
        served.folder.check()


def test_a_gate_that_does_not_answer_shows_nothing_and_loses_nothing(labelled: Labelled):
    with serving(labelled) as served:
        wang = served.enter("wang")
        car = wang.object()
        assert served.service is not None
        served.service._client._base = "http://127.0.0.1:9"

        saved = wang.save(0, 0, box(car))

        assert (saved.status_code, saved.json()["reason"], saved.json()["kept"]) == (
            503,
            "gate_unavailable",
            1,
        )
        assert wang.http.get("/api/frames/0").status_code == 503


def test_nothing_of_pictures_labels_or_people_lies_on_disk_in_the_clear(served: Labelled):
    wang = served.enter("wang")
    wang.save(0, 0, box(wang.object(), attributes={"note": "很特别的备注"}))
    wang.http.get(wang.frame(0)["picture"])

    written = b"".join(path.read_bytes() for path in served.root.rglob("*") if path.is_file())
    with served.gated.client() as client:
        original = client.read(served.task.release, served.task.frames[0].item)
    for piece in (
        b"wang",
        "很特别的备注".encode(),
        b"bbox",
        original[1000:1032],
        b"JFIF",
        wang.token.encode(),
    ):
        assert piece not in written
