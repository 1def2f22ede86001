"""Requests signed by SM2 keys of people, over the real server; the key decides which algorithm counts."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from gateway.flow.approve import sign_approval
from gateway.flow.judge import load_judged
from gateway.vault.sm2 import Sm2PrivateKey
from gateway.vault.suites import SM4GCM
from simulators import PURPOSE, RECIPIENT, House, cleanse, look

PREFIX = "/operators/v1"
FILES = {"notes.txt": "商密：天气晴，城市道路。电话13800138000。\n".encode()}


@pytest.fixture(scope="module")
def commercial(tmp_path_factory: pytest.TempPathFactory, serve_gate) -> Iterator:
    house = House(
        home=tmp_path_factory.mktemp("sm2-api") / "home",
        settings_changes={"suite": SM4GCM.name},
        person_key=Sm2PrivateKey.generate,
    )
    with house.opened() as gate:
        house.furnish(gate)
        with serve_gate(gate, house) as running:
            yield running


def test_a_release_is_requested_approved_and_published_by_sm2_signatures(commercial):
    gate, house = commercial.gate, commercial.house
    wanted = {
        "recordings": [cleanse(gate, FILES)],
        "purpose": PURPOSE,
        "recipient": RECIPIENT,
        "mode": "LOCAL",
        "expires_at": (gate.clock() + timedelta(days=30)).isoformat(),
    }
    made = commercial.call("submitter", "POST", f"{PREFIX}/releases", document=wanted)
    assert made.status_code == 201, made.text
    release = made.json()["release"]
    for person in ("first", "second"):
        look(gate, house, release, person)
        with gate.database.read() as session:
            judged = load_judged(gate, session, release)
        document = {"statement": sign_approval(judged, person, house.people[person].key, gate.clock())}
        answer = commercial.call(person, "POST", f"{PREFIX}/releases/{release}/approvals", document=document)
        assert answer.status_code == 201, answer.text
    assert commercial.call("first", "POST", f"{PREFIX}/releases/{release}/publication").status_code == 201


def test_another_key_or_algorithm_is_refused(commercial, is_problem):
    house = commercial.house
    path = f"{PREFIX}/releases/nothing"
    kept = house.people["first"]
    for wrong in (house.people["second"].key, house.vehicle_key):
        house.people["first"] = type(kept)(actor=kept.actor, key=wrong)
        answer = commercial.call("first", "GET", path)
        assert answer.status_code == 401, answer.text
        assert answer.json()["reason"].startswith("signature")
    house.people["first"] = kept
    is_problem(commercial.call("first", "GET", path), 404, "not_found")
