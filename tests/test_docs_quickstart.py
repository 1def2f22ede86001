"""docs/quickstart.md, run: its blocks in order in one shell, in an empty folder, as a reader would.

So that a command does not load its libraries thirty times, ``fleetgate`` is here a relay to a process that has
them loaded and forks for each call: arguments, environment, folder and standard streams are the caller's.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

DOCUMENT = Path(__file__).parents[1] / "docs" / "quickstart.md"

LOADED = """
import json, os, signal, socket, sys, threading
import gateway.cli
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen()
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
while True:
    caller, _ = server.accept()
    request, streams, _, _ = socket.recv_fds(caller, 1 << 20, 3)
    if os.fork():
        caller.close()
        for stream in streams:
            os.close(stream)
        continue
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    arguments, environment, folder = json.loads(request)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = ["fleetgate", *arguments]
    def hang_up():
        caller.recv(1)
        os.kill(os.getpid(), signal.SIGTERM)
    threading.Thread(target=hang_up, daemon=True).start()
    code = 0
    try:
        gateway.cli.main()
    except SystemExit as leaving:
        code = leaving.code or 0
    sys.stdout.flush()
    sys.stderr.flush()
    caller.send(bytes([code]))
    os._exit(code)
"""

RELAY = """#!{python} -S
import json, os, socket, sys
call = socket.socket(socket.AF_UNIX)
call.connect({address!r})
socket.send_fds(call, [json.dumps([sys.argv[1:], dict(os.environ), os.getcwd()]).encode()], [0, 1, 2])
answer = call.recv(1)
sys.exit(answer[0] if answer else 143)
"""


def blocks() -> str:
    return "\n".join(re.findall(r"^```sh\n(.*?)^```$", DOCUMENT.read_text("utf-8"), re.MULTILINE | re.DOTALL))


@pytest.fixture
def shell(tmp_path):
    """An environment whose ``fleetgate`` and ``python3`` are those under test."""
    programs, address = tmp_path / "programs", str(tmp_path / "socket")
    programs.mkdir()
    (programs / "fleetgate").write_text(RELAY.format(python=sys.executable, address=address))
    (programs / "fleetgate").chmod(0o755)
    clean = {k: v for k, v in os.environ.items() if not k.startswith("FLEETGATE_")}
    with subprocess.Popen(  # noqa: S603 (our own interpreter)
        [sys.executable, "-c", LOADED, address], start_new_session=True, env=clean
    ) as loaded:
        while not Path(address).exists():
            assert loaded.poll() is None
            time.sleep(0.05)
        yield {**clean, "PATH": f"{programs}:{Path(sys.executable).parent}:{clean['PATH']}"}
        os.killpg(loaded.pid, signal.SIGTERM)


@pytest.mark.timeout(300)
def test_quickstart_runs_from_its_first_line_to_its_last(shell, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = blocks().replace("8443", str(port))
    folder = tmp_path / "reader"
    folder.mkdir()
    done = subprocess.run(  # noqa: S603 (our own document)
        ["/bin/bash", "-euo", "pipefail", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
        cwd=folder,
        env=shell,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-3000:]
    assert re.search(r"held +radar\.raw +unknown_format", said)
    assert "all verified under the release key" in said
    assert "ledger verifies" in said
    assert re.search(r"^OK \d+ entries", said, re.MULTILINE)
    received = [path for path in (folder / "received").iterdir() if path.name != "release.jws"]
    assert len(received) == 2
    assert not any(b"13800138000" in path.read_bytes() for path in received)
