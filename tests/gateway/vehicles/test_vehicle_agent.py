"""The vehicle's agent against a server that verifies: delivery, resumption, retries, refusals."""

import os
import socket
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
from joserfc.jwk import OKPKey

from gateway.flow.recording import ItemState
from gateway.vehicles.agent import CHUNK_BYTES, Collection, VehicleAgent
from gateway.vehicles.errors import DeliveryError, ManifestError
from gateway.vehicles.receipts import RECEIVED_STATES

RECORDING = "0b6cf29c-3f5e-4f0e-9d7e-3d1f2a4b5c6d"
COLLECTION = Collection(
    recording=RECORDING,
    started_at=datetime(2026, 5, 1, 0, 0, tzinfo=UTC),
    ended_at=datetime(2026, 5, 1, 0, 30, tzinfo=UTC),
    region="110108",
    crs="EPSG:4326",
)


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, Path]:
    contents = {
        "image/000001.jpg": os.urandom(3 * CHUNK_BYTES + 17),
        "image/000002.jpg": b"small",
        "轨迹/track 1.gpx": b"<gpx/>",
        "empty.bin": b"",
    }
    paths = {}
    for i, (name, content) in enumerate(contents.items()):
        paths[name] = tmp_path / f"source{i}"
        paths[name].write_bytes(content)
    return paths


@pytest.fixture
def agent(base_url: str, vehicle_key: OKPKey):
    with VehicleAgent(base_url, "vehicle-7", vehicle_key, pause_s=0.001) as agent:
        yield agent


def test_a_delivery_arrives_byte_for_byte(agent: VehicleAgent, peer: Any, sources: dict[str, Path]):
    captured_at = {"image/000001.jpg": datetime(2026, 5, 1, 0, 1, tzinfo=UTC)}
    manifest = agent.build_manifest(sources, COLLECTION, captured_at)

    delivery = agent.deliver(manifest, sources)

    assert delivery.recording == RECORDING
    assert delivery.sent == tuple(sources)
    assert delivery.skipped == ()
    assert peer.received[RECORDING] == {i: path.read_bytes() for i, path in enumerate(sources.values())}
    assert peer.manifests[RECORDING] == manifest
    assert manifest.items[0].captured_at == captured_at["image/000001.jpg"]
    assert (manifest.cabin, manifest.audio) == (False, False)


def test_a_repeated_delivery_sends_nothing(agent: VehicleAgent, peer: Any, sources: dict[str, Path]):
    manifest = agent.build_manifest(sources, COLLECTION)
    agent.deliver(manifest, sources)
    peer.requests.clear()

    delivery = agent.deliver(manifest, sources)

    assert delivery.sent == ()
    assert delivery.skipped == tuple(sources)
    assert not [request for request in peer.requests if request.startswith("PUT")]


def test_an_interrupted_delivery_goes_on_with_the_next_item(
    agent: VehicleAgent, peer: Any, sources: dict[str, Path]
):
    manifest = agent.build_manifest(sources, COLLECTION)
    peer.answers = [(0, ""), (0, ""), (507, "storage_full")]
    with pytest.raises(DeliveryError) as caught:
        agent.deliver(manifest, sources)
    assert (caught.value.reason, caught.value.status) == ("storage_full", 507)
    assert list(peer.received[RECORDING]) == [0]

    delivery = agent.deliver(manifest, sources)

    assert delivery.skipped == ("image/000001.jpg",)
    assert len(delivery.sent) == 3
    assert len(peer.received[RECORDING]) == 4


def test_a_busy_gateway_is_asked_again_with_growing_pauses(
    base_url: str, vehicle_key: OKPKey, peer: Any, sources: dict[str, Path]
):
    pauses: list[float] = []
    peer.answers = [(503, "ledger_unavailable")] * 3

    with VehicleAgent(base_url, "vehicle-7", vehicle_key, pause_s=1.0, sleep=pauses.append) as agent:
        agent.deliver(agent.build_manifest(sources, COLLECTION), sources)

    assert len(pauses) == 3
    assert 0.5 <= pauses[0] <= 1.0 <= pauses[1] <= 2.0 <= pauses[2] <= 4.0
    assert len(peer.received[RECORDING]) == 4


def test_attempts_are_bounded(base_url: str, vehicle_key: OKPKey, peer: Any, sources: dict[str, Path]):
    pauses: list[float] = []
    peer.answers = [(503, "ledger_unavailable")] * 10

    with (
        VehicleAgent(base_url, "vehicle-7", vehicle_key, attempts=3, sleep=pauses.append) as agent,
        pytest.raises(DeliveryError) as caught,
    ):
        agent.deliver(agent.build_manifest(sources, COLLECTION), sources)

    assert (caught.value.reason, caught.value.status) == ("ledger_unavailable", 503)
    assert len(pauses) == 2
    assert len(peer.requests) == 3


def test_an_unreachable_gateway_is_tried_until_it_is_there(
    late_server: tuple[str, socket.socket, Callable[[], None]],
    vehicle_key: OKPKey,
    peer: Any,
    sources: dict[str, Path],
):
    url, _, start = late_server

    with VehicleAgent(url, "vehicle-7", vehicle_key, sleep=lambda _s: start()) as agent:
        agent.deliver(agent.build_manifest(sources, COLLECTION), sources)

    assert len(peer.received[RECORDING]) == 4


def test_a_connection_that_breaks_is_made_again(
    late_server: tuple[str, socket.socket, Callable[[], None]],
    vehicle_key: OKPKey,
    peer: Any,
    sources: dict[str, Path],
):
    url, listener, start = late_server
    listener.listen()

    def hang_up() -> None:
        connection, _ = listener.accept()
        connection.recv(100)
        connection.close()

    breaker = Thread(target=hang_up)
    breaker.start()
    with VehicleAgent(url, "vehicle-7", vehicle_key, sleep=lambda _s: start()) as agent:
        agent.deliver(agent.build_manifest(sources, COLLECTION), sources)
    breaker.join(5)

    assert len(peer.received[RECORDING]) == 4


def test_nobody_there_is_a_clear_error(
    late_server: tuple[str, socket.socket, Callable[[], None]], vehicle_key: OKPKey, sources: dict[str, Path]
):
    with (
        VehicleAgent(late_server[0], "vehicle-7", vehicle_key, attempts=2, pause_s=0.001) as agent,
        pytest.raises(DeliveryError) as caught,
    ):
        agent.deliver(agent.build_manifest(sources, COLLECTION), sources)

    assert caught.value.reason == "unreachable"
    assert caught.value.status is None


@pytest.mark.parametrize("change", ["edited", "shortened", "lengthened"])
def test_a_file_that_changed_since_it_was_announced_is_not_delivered(
    agent: VehicleAgent, peer: Any, sources: dict[str, Path], change: str
):
    manifest = agent.build_manifest(sources, COLLECTION)
    content = sources["image/000001.jpg"].read_bytes()
    changed = {"edited": content[:-1] + b"?", "shortened": content[:-1], "lengthened": content + b"?"}
    sources["image/000001.jpg"].write_bytes(changed[change])

    with pytest.raises(DeliveryError, match=r"image/000001\.jpg"):
        agent.deliver(manifest, sources)

    assert all(
        sha256(content).hexdigest() == manifest.items[i].sha256
        for i, content in peer.received[RECORDING].items()
    )


def test_an_unenrolled_vehicle_is_refused_with_the_gateway_s_reason(
    base_url: str, peer: Any, sources: dict[str, Path]
):
    stranger = OKPKey.generate_key("Ed25519")

    with (
        VehicleAgent(base_url, "vehicle-9", stranger) as agent,
        pytest.raises(DeliveryError) as caught,
    ):
        agent.deliver(agent.build_manifest(sources, COLLECTION), sources)

    assert (caught.value.reason, caught.value.status) == ("signature_key_unknown", 401)
    assert peer.manifests == {}


def test_another_manifest_under_the_same_recording_is_a_conflict(
    agent: VehicleAgent, sources: dict[str, Path]
):
    agent.deliver(agent.build_manifest(sources, COLLECTION), sources)

    with pytest.raises(DeliveryError) as caught:
        agent.deliver(agent.build_manifest(sources, replace(COLLECTION, region="310101")), sources)

    assert (caught.value.reason, caught.value.status) == ("conflict", 409)


def edit_items(**changes: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda receipt: {**receipt, "items": [{**item, **changes} for item in receipt["items"]]}


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (edit_items(href="http://elsewhere.example/x"), "unexpected_answer"),
        (edit_items(href="//elsewhere.example/x"), "unexpected_answer"),
        (edit_items(name="other"), "unexpected_answer"),
        (edit_items(state="awaited"), "delivery_incomplete"),
        (edit_items(state="new-state"), "delivery_incomplete"),
        (edit_items(index="x"), "unexpected_answer"),
        (lambda receipt: {**receipt, "items": receipt["items"][:1]}, "unexpected_answer"),
        (lambda receipt: {"items": receipt["items"]}, "unexpected_answer"),
        (lambda _receipt: [], "unexpected_answer"),
    ],
)
def test_an_answer_outside_the_protocol_is_refused(
    agent: VehicleAgent,
    peer: Any,
    sources: dict[str, Path],
    edit: Callable[[dict[str, Any]], dict[str, Any]],
    reason: str,
):
    peer.edit_receipt = edit

    with pytest.raises(DeliveryError) as caught:
        agent.deliver(agent.build_manifest(sources, COLLECTION), sources)

    assert caught.value.reason == reason


def test_items_are_taken_in_the_order_of_their_index(
    agent: VehicleAgent, peer: Any, sources: dict[str, Path]
):
    peer.edit_receipt = lambda receipt: {**receipt, "items": receipt["items"][::-1]}

    agent.deliver(agent.build_manifest(sources, COLLECTION), sources)

    assert peer.received[RECORDING][1] == b"small"


def test_unsafe_names_are_never_announced(agent: VehicleAgent, sources: dict[str, Path]):
    with pytest.raises(ManifestError, match="name"):
        agent.build_manifest({"../x": sources["empty.bin"]}, COLLECTION)
    with pytest.raises(ManifestError, match="items"):
        agent.build_manifest({}, COLLECTION)


def test_a_missing_file_is_an_error_of_its_own(agent: VehicleAgent, tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        agent.build_manifest({"a": tmp_path / "missing"}, COLLECTION)


def test_a_client_that_was_handed_in_stays_open(base_url: str, vehicle_key: OKPKey):
    with httpx.Client() as client:
        with VehicleAgent(base_url, "vehicle-7", vehicle_key, client):
            pass

        assert not client.is_closed


def test_every_state_but_awaited_means_that_the_gate_has_the_bytes():
    assert {state.value for state in ItemState} - {ItemState.AWAITED.value} == RECEIVED_STATES
