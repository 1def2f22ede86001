"""Break-glass over HTTP: what is shown is a marked picture that nobody keeps; who may not is told by rule."""

import pytest
import sqlalchemy as sa

from audit.events import EventType, Outcome
from gateway.flow.records import ItemRow
from simulators import House, cleanse, png

PATH = "/operators/v1/break-glass"


@pytest.fixture(scope="module")
def shown(tmp_path_factory, serve_gate):
    house = House(home=tmp_path_factory.mktemp("break-glass-api") / "home")
    with house.opened() as gate:
        house.furnish(gate)
        recording = cleanse(gate, {"a.png": png()}, attestation="no position")
        with gate.database.read() as session:
            item = session.scalar(sa.select(ItemRow.id).where(ItemRow.recording_id == recording))
        with serve_gate(gate, house) as running:
            yield running, item


def test_asked_approved_looked_at_ended_and_listed(shown, is_problem):
    """Rule 30."""
    served, item = shown
    body = {"items": [item], "minutes": 30, "reason": "court order 7"}
    asked = served.call("first", "POST", PATH, document=body)
    assert (asked.status_code, asked.json()["state"]) == (201, "requested")
    access = asked.json()["break_glass"]
    place = f"{PATH}/{access}/originals/{item}"
    denied = is_problem(served.call("first", "GET", place), 403, "forbidden")
    assert [violation["rule"] for violation in denied["violations"]] == ["break_glass_approved"]
    own = is_problem(served.call("first", "POST", f"{PATH}/{access}/approval"), 403, "forbidden")
    assert "duties_separated" in [violation["rule"] for violation in own["violations"]]
    approved = served.call("officer", "POST", f"{PATH}/{access}/approval")
    assert (approved.status_code, approved.json()["state"]) == (201, "open")
    assert served.call("first", "GET", "/healthz").json()["alarms"] == ["break_glass_open"]
    picture = served.call("first", "GET", place)
    assert (picture.status_code, picture.headers["cache-control"]) == (200, "no-store")
    assert picture.content.startswith(b"\x89PNG")
    assert picture.content != png()
    is_problem(served.call("second", "GET", place), 403, "forbidden")
    is_problem(
        served.call(
            "auditor", "POST", f"{PATH}/{access}/review", document={"outcome": "justified", "note": "x"}
        ),
        409,
        "stage_order",
    )
    ended = served.call("first", "POST", f"{PATH}/{access}/end")
    assert (ended.status_code, ended.json()["state"]) == (201, "over")
    is_problem(served.call("first", "GET", place), 403, "forbidden")
    reviewed = served.call(
        "auditor", "POST", f"{PATH}/{access}/review", document={"outcome": "justified", "note": "seen"}
    )
    assert (reviewed.status_code, reviewed.json()["outcome"]) == (201, "justified")
    (row,) = served.call("auditor", "GET", PATH).json()["break_glass"]
    assert (row["reason"], len(row["uses"]), row["reviewed_by"]) == ("court order 7", 1, "auditor")
    kinds = [
        entry.event.facts["kind"]
        for entry in served.entries(type=EventType.BREAK_GLASS_ACCESS_REPORT, outcome=Outcome.COMPLETED)
    ]
    assert kinds == ["start", "use", "end"]


def test_bad_requests_are_told(shown, is_problem):
    served, item = shown
    for body in (
        {},
        {"items": [item], "minutes": 0, "reason": "x"},
        {"items": ["a b"], "minutes": 1, "reason": "x"},
    ):
        is_problem(served.call("first", "POST", PATH, document=body), 422, "invalid_request")
    too_long = {"items": [item], "minutes": 481, "reason": "x"}
    denied = is_problem(served.call("first", "POST", PATH, document=too_long), 403, "forbidden")
    assert [violation["rule"] for violation in denied["violations"]] == ["break_glass_bounded"]
    is_problem(
        served.call("first", "POST", PATH, document=too_long | {"minutes": 1, "items": ["x"]}),
        404,
        "not_found",
    )
    is_problem(served.call("first", "POST", f"{PATH}/none/end"), 404, "not_found")
