"""Fetching a release into a folder: atomic, resumable, inside the folder, and the command around it."""

import asyncio
import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.responses import JSONResponse, StreamingResponse
from joserfc.jwk import OKPKey
from typer.testing import CliRunner, Result

from pipeline.client import GatewayClient
from pipeline.commands import app
from pipeline.errors import DestinationError, RefusedError, TamperedReleaseError

RELEASE = "rel-4c1f"
PURPOSE = "perception-training"


@pytest.fixture
def client(base_url: str, principal_key: OKPKey, release_key: OKPKey):
    with GatewayClient(
        base_url, key=principal_key, principal="engineer-1", purpose=PURPOSE, release_key=release_key
    ) as client:
        yield client


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def item_requests(peer: Any) -> list[str]:
    return [path.split("/items/")[1] for path in peer.requests if "/items/" in path]


def refuse_after(count: int, peer: Any) -> Callable[[str], JSONResponse | None]:
    def answer(_name: str) -> JSONResponse | None:
        if len(item_requests(peer)) <= count:
            return None
        return JSONResponse({"reason": "grant_expired"}, 403, media_type="application/problem+json")

    return answer


def test_a_release_arrives_whole_with_its_manifest(client: GatewayClient, peer: Any, tmp_path: Path):
    seen: list[Any] = []

    fetched = client.fetch(RELEASE, tmp_path / "out", seen.append)

    assert files(tmp_path / "out") == {**peer.contents, "release.jws": peer.statement.encode()}
    assert fetched.fetched == tuple(peer.contents)
    assert fetched.kept == ()
    assert fetched.size == sum(map(len, peer.contents.values()))
    assert [(p.number, p.of, p.kept) for p in seen] == [
        (1, 4, False),
        (2, 4, False),
        (3, 4, False),
        (4, 4, False),
    ]


def test_an_interrupted_fetch_leaves_verified_files_only_and_goes_on(
    client: GatewayClient, peer: Any, tmp_path: Path
):
    peer.answer = refuse_after(2, peer)
    with pytest.raises(RefusedError) as caught:
        client.fetch(RELEASE, tmp_path)
    assert caught.value.reason == "grant_expired"
    first_two = list(peer.contents)[:2]
    assert files(tmp_path) == {name: peer.contents[name] for name in first_two}

    peer.requests.clear()
    peer.answer = lambda _name: None
    fetched = client.fetch(RELEASE, tmp_path)

    assert fetched.kept == tuple(first_two)
    assert item_requests(peer) == list(peer.contents)[2:]
    assert files(tmp_path) == {**peer.contents, "release.jws": peer.statement.encode()}


def test_a_damaged_file_is_fetched_again(client: GatewayClient, tmp_path: Path):
    client.fetch(RELEASE, tmp_path)
    damaged = tmp_path / "image" / "000002.jpg"
    damaged.write_bytes(b"secone")

    fetched = client.fetch(RELEASE, tmp_path)

    assert fetched.fetched == ("image/000002.jpg",)
    assert damaged.read_bytes() == b"second"


def test_tampered_bytes_never_appear(client: GatewayClient, peer: Any, tmp_path: Path):
    peer.contents["image/000002.jpg"] = b"secone"

    with pytest.raises(TamperedReleaseError):
        client.fetch(RELEASE, tmp_path)

    assert "image/000002.jpg" not in files(tmp_path)
    assert "release.jws" not in files(tmp_path)
    assert not list(tmp_path.glob(".fleetgate*"))


def test_a_fetch_that_is_killed_leaves_verified_files_only_and_goes_on(
    client: GatewayClient, options: dict[str, str], peer: Any, tmp_path: Path
):
    async def never_ending():
        yield "时".encode()
        await asyncio.sleep(20)

    out = tmp_path / "out"
    third = list(peer.contents)[2]
    peer.answer = lambda name: StreamingResponse(never_ending()) if name == third else None
    program = [sys.executable, "-c", "from pipeline.commands import app; app()", "fetch", RELEASE]
    command = [*program, *arguments(options)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as fetching:  # noqa: S603 - our own command
        while third not in item_requests(peer) or not list(out.glob(".fleetgate*/*")):
            assert fetching.poll() is None
            time.sleep(0.02)
        fetching.kill()
    whole = list(peer.contents)[:2]
    visible = {name: content for name, content in files(out).items() if not name.startswith(".")}
    assert visible == {name: peer.contents[name] for name in whole}

    peer.answer = lambda _name: None
    fetched = client.fetch(RELEASE, out)

    assert fetched.kept == tuple(whole)
    assert files(out) == {**peer.contents, "release.jws": peer.statement.encode()}


def test_what_a_killed_fetch_left_behind_is_cleared(client: GatewayClient, tmp_path: Path):
    (tmp_path / ".fleetgate-partial").mkdir()
    (tmp_path / ".fleetgate-partial" / "half").write_bytes(b"half")

    client.fetch(RELEASE, tmp_path)

    assert not (tmp_path / ".fleetgate-partial").exists()


@pytest.mark.parametrize("name", ["image", "image/000001.jpg", ".fleetgate-partial", "release.jws"])
def test_symbolic_links_are_not_followed(client: GatewayClient, tmp_path: Path, name: str):
    out, outside = tmp_path / "out", tmp_path / "outside"
    outside.mkdir()
    link = out / name
    link.parent.mkdir(parents=True)
    link.symlink_to(outside if "." not in name[1:] else outside / "file", target_is_directory=True)

    with pytest.raises(DestinationError):
        client.fetch(RELEASE, out)

    assert list(outside.iterdir()) == []


def test_a_folder_in_the_place_of_a_file_is_an_error(client: GatewayClient, tmp_path: Path):
    (tmp_path / "image" / "000001.jpg").mkdir(parents=True)

    with pytest.raises(DestinationError, match="taken"):
        client.fetch(RELEASE, tmp_path)


def test_a_file_in_the_place_of_a_folder_is_an_error(client: GatewayClient, tmp_path: Path):
    (tmp_path / "image").write_bytes(b"x")

    with pytest.raises(DestinationError):
        client.fetch(RELEASE, tmp_path)


def test_a_folder_of_another_release_is_an_error(client: GatewayClient, tmp_path: Path):
    (tmp_path / "release.jws").write_text("another")

    with pytest.raises(DestinationError, match="another release"):
        client.fetch(RELEASE, tmp_path)


def test_two_fetches_do_not_share_a_folder(client: GatewayClient, tmp_path: Path):
    lock = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)

        with pytest.raises(DestinationError, match="another fetch"):
            client.fetch(RELEASE, tmp_path)
    finally:
        os.close(lock)


def test_items_of_equal_content_arrive_under_both_names(
    client: GatewayClient, publish: Callable[..., None], tmp_path: Path
):
    publish({"a": b"same", "b": b"same"})

    client.fetch(RELEASE, tmp_path)

    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == b"same"


@pytest.fixture
def options(base_url: str, principal_key: OKPKey, release_key: OKPKey, tmp_path: Path) -> dict[str, str]:
    (tmp_path / "key.pem").write_bytes(principal_key.as_pem(private=True, password="correct horse"))
    (tmp_path / "passphrase").write_text("correct horse\n")
    (tmp_path / "release.jwk").write_text(json.dumps(release_key.as_dict(private=False)))
    (tmp_path / "release.pem").write_bytes(release_key.as_pem(private=False))

    return {
        "url": base_url,
        "key": str(tmp_path / "key.pem"),
        "passphrase_file": str(tmp_path / "passphrase"),
        "principal": "engineer-1",
        "purpose": PURPOSE,
        "release_key": str(tmp_path / "release.jwk"),
        "out": str(tmp_path / "out"),
    }


def arguments(options: dict[str, str]) -> list[str]:
    return [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", value)]


@pytest.fixture
def command(options: dict[str, str]) -> Callable[..., Result]:
    def run(*more: str, **changes: str) -> Result:
        return CliRunner().invoke(app, ["fetch", RELEASE, *arguments({**options, **changes}), *more])

    return run


def test_the_command_fetches_and_says_so(command: Callable[..., Result], peer: Any, tmp_path: Path):
    result = command()

    assert result.exit_code == 0, result.output
    assert "4 fetched, 0 kept" in result.stdout
    assert set(files(tmp_path / "out")) == {*peer.contents, "release.jws"}


def test_the_command_speaks_json(command: Callable[..., Result], peer: Any, tmp_path: Path):
    command()

    result = command("--json", release_key=str(tmp_path / "release.pem"))

    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["kept"] == list(peer.contents)
    assert answer["fetched"] == []
    assert answer["approvals"] == 2


def test_the_command_reports_refusals_with_rules(command: Callable[..., Result]):
    plain = command(purpose="marketing")
    assert plain.exit_code == 1
    assert "purpose_of_grant" in plain.stderr
    assert "用途与授权不符" in plain.stderr

    structured = command("--json", purpose="marketing")
    assert structured.exit_code == 1
    answer = json.loads(structured.stdout)
    assert answer["reason"] == "denied"
    assert answer["violations"][0]["rule"] == "purpose_of_grant"


def test_the_command_reports_tampering(command: Callable[..., Result], peer: Any):
    peer.contents["image/000002.jpg"] = b"secone"

    result = command("--json")

    assert result.exit_code == 1
    assert json.loads(result.stdout)["reason"] == "release_tampered"


@pytest.mark.parametrize(
    "changes",
    [
        {"key": "missing.pem"},
        {"passphrase_file": "missing"},
        {"url": "gate.example"},
        {"url": "http://[::1"},
        {"purpose": ""},
    ],
)
def test_wrong_usage_has_its_own_status(command: Callable[..., Result], changes: dict[str, str]):
    result = command(**changes)

    assert result.exit_code == 2
    assert "Usage" in result.stderr


def test_a_wrong_passphrase_is_wrong_usage(command: Callable[..., Result], tmp_path: Path):
    (tmp_path / "passphrase").write_text("wrong\n")
    assert command().exit_code == 2

    (tmp_path / "passphrase").write_text("\n")
    assert command().exit_code == 2


def test_help_names_every_option():
    result = CliRunner().invoke(app, ["fetch", "--help"], env={"COLUMNS": "200"})

    assert result.exit_code == 0
    for option in (
        "--url",
        "--key",
        "--passphrase-file",
        "--principal",
        "--purpose",
        "--release-key",
        "--out",
        "--json",
    ):
        assert option in result.stdout
