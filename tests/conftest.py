"""Fixtures that every folder shares: real databases, a furnished house, the folder of real samples."""

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import settings

from gateway.flow.gate import Gate
from simulators import House

# Test modules ask for packages that import ONNX Runtime by themselves; its telemetry starts at that moment.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

# How long an example takes says how busy the machine is; what must be fast is measured in benchmarks.
settings.register_profile("fleetgate", deadline=None)
settings.load_profile("fleetgate")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    root = Path(os.environ.get("FLEETGATE_SHARED", Path(__file__).parents[2] / "shared"))
    if not (root / "data").is_dir():
        pytest.skip("the folder of real samples is not here (set FLEETGATE_SHARED)")
    return root / "data"


@pytest.fixture(scope="session")
def opa_binary() -> Path:
    root = Path(os.environ.get("FLEETGATE_SHARED", Path(__file__).parents[2] / "shared"))
    binary = Path(os.environ.get("FLEETGATE_OPA", root / "bin" / "opa"))
    if not binary.is_file():
        pytest.skip("the OPA binary is not here (set FLEETGATE_OPA)")
    return binary


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 24 MiB that a test may fill."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=24m", "none", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    except FileNotFoundError:
        pytest.skip("no command `mount` here")
    if done.returncode:
        pytest.skip(f"no small file system can be mounted here ({done.stderr.strip()})")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)  # noqa: S603, S607


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[Callable[[str], str]]:
    """A PostgreSQL that this test run starts itself; calling it gives the URL of a new schema."""
    runtime = Path(tempfile.mkdtemp(prefix="fgpg"))
    before = os.environ.get("XDG_RUNTIME_DIR")
    os.environ["XDG_RUNTIME_DIR"] = str(runtime)
    import pgserver  # noqa: PLC0415 (reads XDG_RUNTIME_DIR when it is imported)

    server = pgserver.get_server(Path(tempfile.mkdtemp(prefix="fgpg")), cleanup_mode="delete")

    def url() -> str:
        return str(server.get_uri()).replace("postgresql://", "postgresql+psycopg://", 1)

    admin = sa.create_engine(url(), isolation_level="AUTOCOMMIT")

    def schema(name: str) -> str:
        with admin.connect() as connection:
            connection.execute(sa.text(f'CREATE SCHEMA "{name}"'))
        return f"{url()}&application_name={name}&options=-csearch_path%3D{name}"

    yield schema
    admin.dispose()
    postmaster = server.get_postmaster_info().process
    # At once: a shutdown checkpoint of data that is deleted anyway takes 10 s.
    postmaster.send_signal(signal.SIGQUIT)
    postmaster.wait()
    server.cleanup()
    shutil.rmtree(runtime)
    if before is None:
        del os.environ["XDG_RUNTIME_DIR"]
    else:
        os.environ["XDG_RUNTIME_DIR"] = before


@pytest.fixture(params=["sqlite", "postgresql"])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> House:
    """A house on SQLite and on PostgreSQL: whatever uses it runs on both."""
    url = None
    if request.param == "postgresql":
        schema: Callable[[str], str] = request.getfixturevalue("postgresql_server")
        url = schema(f"gate_{secrets.token_hex(8)}")
    return House(home=tmp_path / "home", database_url=url)


@pytest.fixture
def sqlite_house(tmp_path: Path) -> House:
    return House(home=tmp_path / "home")


@pytest.fixture
def gate(house: House) -> Iterator[Gate]:
    """A furnished gate without restricted zones, on both databases."""
    with house.opened() as gate:
        house.furnish(gate)
        yield gate


@pytest.fixture
def sqlite_gate(sqlite_house: House) -> Iterator[Gate]:
    with sqlite_house.opened() as gate:
        sqlite_house.furnish(gate)
        yield gate
