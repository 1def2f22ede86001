"""One client downloads a released item through the gate, and the same bytes as a plain file from nginx.

    python benchmarks/release_download.py [--mib 128] [--rounds 5] [--nginx PATH] [--json]

The gate is ``fleetgate serve`` in a process of its own over a house that the tests' simulators furnish: every
download is signed, judged, entered in the ledger, decrypted and authenticated. nginx (Debian package
nginx-light) serves the same bytes with sendfile from a folder; where it is not installed, Python's http.server
stands in, and the result says so. The client is http.client with one large buffer for both, without TLS, on
loopback. Rounds take turns; figures are medians. Target: at least half of nginx's MB/s.
"""

import argparse
import hashlib
import http.client
import json
import os
import secrets
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from gateway.flow.serve import read_manifest
from gateway.vault.root import DEFAULT_ARGON2
from pipeline.manifest import read_release_manifest
from pipeline.signing import PurposeAuth
from simulators import PASSPHRASE, PURPOSE, START, House, csv_track, released

TARGET = 0.5
BUFFER = 1024 * 1024
START_S = 120.0
SWEEP = "lidar/000000.bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where the same bytes can be had."""

    port: int
    path: str
    sign: Callable[[str], dict[str, str]]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def points(length: int) -> bytes:
    """A sweep of at least this many bytes."""
    rng = np.random.default_rng(7)
    cloud = rng.uniform(-40.0, 40.0, (-(-length // 16), 4))
    cloud[:, 3] = rng.uniform(0.0, 1.0, len(cloud))
    return cloud.astype("<f4").tobytes()


@contextmanager
def running(command: list[str], port: int, environment: dict[str, str]) -> Iterator[int]:
    """A server process that answers on its port; yields its process id.

    Raises:
        RuntimeError: It ended or did not answer in time; says what it wrote.
    """
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as written,
        subprocess.Popen(command, env=environment, stdout=written, stderr=written) as server,  # noqa: S603
    ):
        try:
            deadline = time.monotonic() + START_S
            while not answers(port):
                if server.poll() is not None or time.monotonic() > deadline:
                    written.seek(0)
                    raise RuntimeError(
                        f"{command[0]} does not answer on port {port}: {written.read()[-2000:]}"
                    )
                time.sleep(0.1)
            yield server.pid
        finally:
            server.terminate()


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def nginx_command(binary: str, folder: Path, port: int) -> list[str]:
    """Serve ``folder/plain`` as a static file server is set up: sendfile, one worker."""
    (folder / "nginx.conf").write_text(
        f"worker_processes 1;\ndaemon off;\npid {folder}/nginx.pid;\nerror_log {folder}/nginx.log;\n"
        f"user {'root' if os.geteuid() == 0 else os.environ.get('USER', 'nobody')};\n"
        "events {}\n"
        f"http {{ access_log off; sendfile on; tcp_nopush on; client_body_temp_path {folder}/b;\n"
        f"  proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u;\n"
        f"  scgi_temp_path {folder}/s; default_type application/octet-stream;\n"
        f"  server {{ listen 127.0.0.1:{port}; root {folder}/plain; }} }}\n",
        encoding="utf-8",
    )
    return [binary, "-e", f"{folder}/nginx.log", "-p", str(folder), "-c", str(folder / "nginx.conf")]


def download(source: Source, digest: str | None = None) -> float:
    """Seconds of one download over a fresh connection; with a digest the bytes are checked instead of timed."""
    buffer = memoryview(bytearray(BUFFER))
    seen = hashlib.sha256()
    started = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", source.port)
    connection.request("GET", source.path, headers=source.sign(source.path))
    response = connection.getresponse()
    if response.status != 200:
        raise RuntimeError(f"download failed (got {response.status}: {response.read(500)!r})")
    while count := response.readinto(buffer):
        if digest is not None:
            seen.update(buffer[:count])
    spent = time.perf_counter() - started
    connection.close()
    if digest is not None and seen.hexdigest() != digest:
        raise RuntimeError(f"other bytes arrived (got {seen.hexdigest()}, expected {digest})")
    return spent


@contextmanager
def gate(folder: Path, content: bytes) -> Iterator[tuple[Source, str]]:
    """The gate serving one released sweep; yields it and the digest of what it serves."""
    house = House(home=folder / "home", argon2=DEFAULT_ARGON2)
    with house.opened() as opened:
        house.furnish(opened)
        files = {"drive.csv": csv_track(), SWEEP: content}
        release = released(opened, house, files, captured={SWEEP: START.replace(second=30)})
        engineer = house.people["engineer"]
        manifest = read_release_manifest(
            read_manifest(opened, release, actor=engineer.actor, purpose=PURPOSE),
            opened.keystore.signing_key("release"),
            release=release,
            purpose=PURPOSE,
        )
    item = max(manifest.items, key=lambda each: each.size)
    port = free_port()
    auth = PurposeAuth(principal="engineer", purpose=PURPOSE, key=engineer.key)

    def sign(path: str) -> dict[str, str]:
        request = httpx.Request("GET", f"http://127.0.0.1:{port}{path}")
        return dict(next(auth.auth_flow(request)).headers)

    environment = {**os.environ, "FLEETGATE_HOME": str(house.home), "FLEETGATE_PASSPHRASE": PASSPHRASE}
    command = [sys.executable, "-m", "gateway.cli", "serve", "--port", str(port)]
    with running(command, port, environment):
        yield (
            Source(port=port, path=f"/downstream/v1/releases/{release}/items/{item.name}", sign=sign),
            item.sha256,
        )


@contextmanager
def plain(folder: Path, content: bytes, nginx: str | None) -> Iterator[Source]:
    """The same bytes from a plain file server."""
    (folder / "plain").mkdir()
    name = f"{secrets.token_hex(8)}.bin"
    (folder / "plain" / name).write_bytes(content)
    port = free_port()
    if nginx is None:
        command = [
            sys.executable,
            "-m",
            "http.server",
            str(port),
            "--bind",
            "127.0.0.1",
            "-d",
            f"{folder}/plain",
        ]
    else:
        command = nginx_command(nginx, folder, port)
    with running(command, port, dict(os.environ)):
        yield Source(port=port, path=f"/{name}", sign=lambda _path: {})


def measure(folder: Path, asked: argparse.Namespace) -> dict[str, float | str]:
    content = points(asked.mib * 1024 * 1024)
    nginx = asked.nginx or shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    with gate(folder, content) as (ours, digest), plain(folder, content, nginx) as theirs:
        for source in (ours, theirs):
            download(source, digest)
        spent: dict[str, list[float]] = {"gate": [], "peer": []}
        for _ in range(asked.rounds):
            spent["gate"].append(download(ours))
            spent["peer"].append(download(theirs))
    speeds = {name: statistics.median(len(content) / 1e6 / s for s in each) for name, each in spent.items()}
    ratio = statistics.median(p / g for g, p in zip(spent["gate"], spent["peer"], strict=True))
    return {
        "peer": "nginx" if nginx else "http.server of Python (nginx is not installed)",
        "gate_mb_per_s": speeds["gate"],
        "peer_mb_per_s": speeds["peer"],
        "ratio": ratio,
        "mib": asked.mib,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mib", type=int, default=128, help="length of the item in MiB, at most 150")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--nginx", help="path of nginx, unless it is on the PATH")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), asked)
    reached = float(figures["ratio"]) >= TARGET
    rows = [
        {
            "row": f"download / {figures['peer']}",
            "value": figures["ratio"],
            "target": TARGET,
            "reached": reached,
        }
    ]
    if asked.json:
        print(json.dumps({"benchmark": "release_download", "figures": figures, "rows": rows}))
        return
    print(f"gate  {figures['gate_mb_per_s']:8.0f} MB/s   {asked.mib} MiB, one client")
    print(f"peer  {figures['peer_mb_per_s']:8.0f} MB/s   {figures['peer']}")
    print(f"ratio {figures['ratio']:8.2f}        target at least {TARGET}, reached {reached}")


if __name__ == "__main__":
    main()
