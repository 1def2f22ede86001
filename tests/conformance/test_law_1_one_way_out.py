"""Law 1, one way out: no byte leaves but through ``serve``, under a live grant on a release that was treated,
scanned, allowed and signed for."""

import ast
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
import sqlalchemy as sa
from fastapi.routing import RouteContext, iter_route_contexts

import gateway
from audit.events import EventType, Outcome
from audit.export import export_ledger
from audit.query import EntryFilter, find_all
from conformance.conftest import Commons
from conformance.wire import caller, serving
from gateway.errors import DeniedError, GatewayError, StageOrderError
from gateway.flow.dossier import recording_summary, release_summary
from gateway.flow.gate import Gate
from gateway.flow.records import GrantRow, ItemRow, ReleaseItemRow, ReleaseRecordingRow
from gateway.flow.release import GrantTerms, issue_grant, revoke_grant, revoke_release
from gateway.flow.serve import NoGrantError, read_item, read_manifest
from gateway.server import create_app
from gateway.vault.store import Context
from simulators import PURPOSE, RECIPIENT, grant

Out = SimpleNamespace


def contents(gate: Gate, release: str) -> dict[str, bytes]:
    """What a release holds, read past the gate."""
    with gate.database.read() as session:
        rows = session.scalars(sa.select(ReleaseItemRow).where(ReleaseItemRow.release_id == release))
        sealed = {row.name: row.seal for row in rows}
    return {
        name: gate.vault.read_all(seal, Context(owner=release, object=name, role="release"))
        for name, seal in sealed.items()
    }


def holds_content(body: bytes, items: dict[str, bytes]) -> bool:
    return any(content[at : at + 48] in body for content in items.values() for at in (0, len(content) // 2))


@pytest.fixture(scope="module")
def out(commons: Commons) -> Out:
    release = commons.released()
    with commons.gate.database.read() as session:
        recording = session.scalar(
            sa.select(ReleaseRecordingRow.recording_id).where(ReleaseRecordingRow.release_id == release)
        )
        granted = session.scalar(sa.select(GrantRow.id).where(GrantRow.release_id == release))
    items = contents(commons.gate, release)
    assert len(items) == 2
    with commons.gate.database.read() as session:
        item = session.scalar(sa.select(ItemRow.id).where(ItemRow.recording_id == recording))
    return SimpleNamespace(release=release, recording=recording, grant=granted, items=items, item=item)


@pytest.fixture(scope="module")
def origin(commons: Commons) -> Iterator[str]:
    with serving(commons.gate) as url:
        yield url


def read_everything(gate: Gate, out: Out, reader, purpose: str = PURPOSE) -> bytes:
    """What a reader gets by asking for the manifest and every item, refusals ignored."""
    got = bytearray()
    reads: list[Callable[[], bytes]] = [
        lambda: read_manifest(gate, out.release, actor=reader, purpose=purpose).encode()
    ]
    for name in out.items:
        reads.append(  # noqa: PERF401 (a list of closures over the loop's own name)
            lambda name=name: b"".join(
                read_item(gate, out.release, name, actor=reader, purpose=purpose, wanted=None).chunks
            )
        )
    for read in reads:
        try:
            got += read()
        except GatewayError:
            continue
    return bytes(got)


def test_the_grant_holder_reads_the_release(commons: Commons, out: Out):
    got = read_everything(commons.gate, out, commons.actor("engineer"))
    assert holds_content(got, out.items)


def routes_of(gate: Gate) -> list[RouteContext]:
    return list(iter_route_contexts(create_app(gate).routes))


def path_of(route: RouteContext, out: Out) -> str:
    known = {
        "release": out.release,
        "release_id": out.release,
        "name": next(iter(out.items)),
        "recording": out.recording,
        "position": "0",
        "grant": out.grant,
        "access": "0" * 32,
        "artefact": "0" * 32,
        "credential": "none",
        "number": "1",
        "item": out.item,
    }
    path = route.path.replace(":path}", "}")
    for name, value in known.items():
        path = path.replace(f"{{{name}}}", value)
    assert "{" not in path, f"the test does not know a live value for {route.path}"
    return path


OPEN = {"/healthz", "/openapi.json"}
"""What anybody may ask: whether the gate works, and how it is asked."""


def test_every_route_but_health_and_description_refuses_an_unsigned_request(
    commons: Commons, origin: str, out: Out
):
    routes = [route for route in routes_of(commons.gate) if route.path not in OPEN]
    assert len(routes) >= 15
    with caller(origin, purpose=PURPOSE) as client:
        for route in routes:
            for method in sorted(route.methods - {"HEAD"}):
                answer = client.request(method, path_of(route, out))
                assert answer.status_code == 401, (method, route.path)
                assert answer.json()["reason"] == "signature_missing"
                assert not holds_content(answer.content, out.items)
        health = client.get("/healthz")
        assert set(health.json()) == {"status", "ledger_size", "policy_engine", "alarms"}


def test_every_route_refuses_people_of_another_audience(commons: Commons, origin: str, out: Out):
    engineer = commons.house.people["engineer"]
    with caller(origin, "engineer", engineer.key, PURPOSE) as client:
        for route in routes_of(commons.gate):
            if route.path in OPEN or route.path.startswith("/downstream/"):
                continue
            for method in sorted(route.methods - {"HEAD"}):
                answer = client.request(method, path_of(route, out))
                assert answer.status_code in {401, 403}, (method, route.path)
                assert not holds_content(answer.content, out.items)


def test_only_the_item_route_answers_with_content(commons: Commons, origin: str, out: Out):
    """Every GET, each as somebody who is entitled to it."""
    entitled = {
        "/downstream/": "engineer",
        "/operators/": "first",
        "/auditors/": "auditor",
        "/vehicles/": None,
    }
    seen = {}
    for route in routes_of(commons.gate):
        if "GET" not in route.methods or route.path in OPEN:
            continue
        person = next(who for prefix, who in entitled.items() if route.path.startswith(prefix))
        key = commons.house.people[person].key if person else commons.house.vehicle_key
        with caller(origin, person or "vehicle-01", key, PURPOSE) as client:
            answer = client.get(path_of(route, out))
        # The release holds no picture: its contact sheet has no page, and no sample was drawn. Nobody approved any
        # break-glass.
        refused = {
            "/contact-sheet": 404,
            "/pictures/{number}": 404,
            "/originals/{item}": 403,
            "/{artefact}": 404,
        }
        expected = next((status for end, status in refused.items() if route.path.endswith(end)), 200)
        assert answer.status_code == expected, (route.path, answer.text)
        seen[route.path] = holds_content(answer.content, out.items)
    assert [path for path, content in seen.items() if content] == [
        "/downstream/v1/releases/{release}/items/{name:path}"
    ]


def test_refusals_over_http_tell_the_rule_and_nothing_of_the_content(commons: Commons, origin: str, out: Out):
    people = commons.house.people
    tries = {
        "no_grant": ("stranger", PURPOSE),
        "denied": ("engineer", "marketing"),
    }
    for reason, (person, purpose) in tries.items():
        with caller(origin, person, people[person].key, purpose) as client:
            for path in ("manifest", *(f"items/{name}" for name in out.items)):
                answer = client.get(f"/downstream/v1/releases/{out.release}/{path}")
                assert (answer.status_code, answer.json()["reason"]) == (403, reason)
                assert not holds_content(answer.content, out.items)
            listed = client.get("/downstream/v1/releases")
            assert listed.json() == {"releases": []}
            assert not holds_content(listed.content, out.items)


def test_a_reader_without_a_grant_learns_nothing(commons: Commons, out: Out):
    for release in (out.release, "0" * 32):
        with pytest.raises(NoGrantError):
            read_manifest(commons.gate, release, actor=commons.actor("stranger"), purpose=PURPOSE)
    assert read_everything(commons.gate, out, commons.actor("stranger")) == b""


def test_another_purpose_reads_nothing(commons: Commons, out: Out):
    with pytest.raises(DeniedError):
        read_manifest(commons.gate, out.release, actor=commons.actor("engineer"), purpose="marketing")
    assert read_everything(commons.gate, out, commons.actor("engineer"), "marketing") == b""


def test_an_expired_grant_reads_nothing(commons: Commons, out: Out):
    late = commons.gate.clock() + timedelta(days=8)
    after = replace(commons.gate, clock=lambda: late)
    with pytest.raises(DeniedError):
        read_manifest(after, out.release, actor=commons.actor("engineer"), purpose=PURPOSE)
    assert read_everything(after, out, commons.actor("engineer")) == b""


def test_an_expired_release_reads_nothing_even_under_a_grant_that_was_stretched(commons: Commons):
    release = commons.released()
    late = commons.gate.clock() + timedelta(days=31)
    after = replace(commons.gate, clock=lambda: late)
    out = SimpleNamespace(release=release, items=contents(commons.gate, release))
    with pytest.raises(DeniedError):
        read_manifest(after, release, actor=commons.actor("engineer"), purpose=PURPOSE)
    assert read_everything(after, out, commons.actor("engineer")) == b""
    terms = GrantTerms(release=release, principal="engineer", not_after=late)
    with pytest.raises(GatewayError, match="outlives"):
        issue_grant(commons.gate, terms, actor=commons.actor("first"))


def test_a_revoked_grant_reads_nothing(commons: Commons):
    release = commons.released()
    with commons.gate.database.read() as session:
        issued = session.scalar(sa.select(GrantRow.id).where(GrantRow.release_id == release))
    revoke_grant(commons.gate, issued, actor=commons.actor("first"))
    out = SimpleNamespace(release=release, items=contents(commons.gate, release))
    assert read_everything(commons.gate, out, commons.actor("engineer")) == b""


def test_a_revoked_release_reads_nothing_and_takes_no_new_grant(commons: Commons):
    release = commons.released()
    revoke_release(commons.gate, release, actor=commons.actor("first"))
    out = SimpleNamespace(release=release, items=contents(commons.gate, release))
    assert read_everything(commons.gate, out, commons.actor("engineer")) == b""
    with pytest.raises(StageOrderError):
        grant(commons.gate, commons.house, release)


def test_a_foreign_reader_reads_nothing(commons: Commons):
    """Rule 23: reading from abroad is export."""
    release = commons.released()
    foreigner = commons.house.enrol(
        commons.gate, f"foreigner-{release[:8]}", "engineer", recipient=RECIPIENT, nationality="US"
    ).actor
    grant(commons.gate, commons.house, release, foreigner.id)
    with pytest.raises(DeniedError):
        read_manifest(commons.gate, release, actor=foreigner, purpose=PURPOSE)
    out = SimpleNamespace(release=release, items=contents(commons.gate, release))
    assert read_everything(commons.gate, out, foreigner) == b""


@pytest.mark.parametrize("stage", ["judged", "built"])
def test_a_release_that_is_not_out_takes_no_grant_and_reads_nothing(commons: Commons, stage: str):
    release = commons.judged()
    gate = commons.gate
    if stage == "built":
        with gate.database.transaction() as session:
            session.execute(sa.text("UPDATE release SET state = 'built' WHERE id = :id"), {"id": release})
    with pytest.raises(StageOrderError):
        grant(gate, commons.house, release)
    now = gate.clock()
    with gate.database.transaction() as session:
        session.add(
            GrantRow(
                id=f"forged-{release[:16]}",
                release_id=release,
                principal="engineer",
                purpose=PURPOSE,
                issued_by="first",
                not_before=now,
                not_after=now + timedelta(days=1),
            )
        )
    out = SimpleNamespace(release=release, items=contents(gate, release))
    assert read_everything(gate, out, commons.actor("engineer")) == b""


def test_exports_and_summaries_hold_no_content(commons: Commons, out: Out):
    stream = io.BytesIO()
    export_ledger(commons.gate.ledger, stream)
    shown = [
        stream.getvalue(),
        json.dumps(release_summary(commons.gate, out.release)).encode(),
        json.dumps(recording_summary(commons.gate, out.recording)).encode(),
    ]
    for each in shown:
        assert each
        assert not holds_content(each, out.items)


def modules_that_open_sealed_files() -> set[str]:
    root = Path(gateway.__file__).parent
    found = set()
    for path in root.rglob("*.py"):
        if path.is_relative_to(root / "vault"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Attribute) or node.attr not in {
                "open",
                "read_all",
                "read_at",
                "chunks",
            }:
                continue
            if isinstance(node.value, ast.Attribute) and node.value.attr in {"vault", "_blobs"}:
                found.add(path.relative_to(root).as_posix())
    return found


def test_no_command_and_no_route_opens_a_sealed_file():
    """Only the passes that treat content, ``serve``, and what reviewers see of treated pictures open files.

    A dossier reads the ground of released files for its coarse map, and its own sealed editions.
    """
    assert modules_that_open_sealed_files() == {
        "dossier/issue.py",
        "dossier/released_area.py",
        "flow/build.py",
        "flow/classify.py",
        "flow/cleanse.py",
        "flow/serve.py",
        "flow/unlinked_item.py",
        "review/quality_pictures.py",
        "videos/checkpoint.py",
    }


def test_only_the_second_pass_and_reviewers_of_masked_places_open_treated_files():
    root = Path(gateway.__file__).parent
    callers = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if "open_treated(" in path.read_text(encoding="utf-8")
    }
    assert callers == {
        "flow/build.py",
        "flow/cleanse.py",
        "flow/unlink.py",
        "flow/unlinked_item.py",
        "review/contact_sheet.py",
    }


def test_every_refused_read_is_in_the_ledger(commons: Commons, out: Out):
    reader = commons.actor("stranger")
    with pytest.raises(NoGrantError):
        read_item(commons.gate, out.release, "x.bin", actor=reader, purpose=PURPOSE, wanted=None)
    wanted = EntryFilter(
        actor="stranger",
        release=out.release,
        types=(EventType.SERVE_ITEM_READ,),
        outcome=Outcome.REFUSED,
    )
    with commons.gate.ledger.snapshot() as snapshot:
        entries = list(find_all(snapshot, wanted))
    assert entries[-1].event.object == "x.bin"
    assert entries[-1].event.facts["reason"] == "no_grant"
    assert entries[-1].event.intent < entries[-1].index
