"""Schema: from nothing to the tables in code, once, whoever else is starting; a killed start leaves no half."""

import os
import secrets
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from audit.tables import create_tables
from gateway.api import records as _api  # noqa: F401 (registers tables)
from gateway.app import initialise
from gateway.database import Base, Database, create_engine
from gateway.flow import records as _flow  # noqa: F401 (registers tables)
from gateway.people import records as _people  # noqa: F401 (registers tables)
from simulators import House

VERSIONS = Path(__file__).parents[2] / "gateway" / "migrations"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'gateway.db'}"
    schema: Callable[[str], str] = request.getfixturevalue("postgresql_server")
    return schema(f"migrations_{secrets.token_hex(8)}")


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    database = Database(create_engine(url))
    yield database
    database.dispose()


def differences(database: Database) -> list[object]:
    """What alembic would still change; the ledger keeps its own tables."""
    with database.engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "compare_type": True,
                "include_name": lambda name, kind, _: (
                    kind != "table" or not (name or "").startswith("ledger_")
                ),
            },
        )
        return list(compare_metadata(context, Base.metadata))


def revision(database: Database) -> str | None:
    with database.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def test_the_migrations_make_the_tables_in_code(database: Database, url: str):
    assert differences(database)
    ledger = sa.create_engine(url)
    create_tables(ledger)
    ledger.dispose()
    database.migrate()
    assert differences(database) == []
    head = ScriptDirectory(str(VERSIONS)).get_current_head()
    assert revision(database) == head is not None


def test_migrating_again_changes_nothing(database: Database):
    database.migrate()
    with database.transaction() as session:
        session.execute(
            sa.text("INSERT INTO purpose (name, assessment, registered_at) VALUES ('p', 'a', '2026-01-01')")
        )
    before = revision(database)
    database.migrate()
    assert (revision(database), differences(database)) == (before, [])
    with database.read() as session:
        assert session.scalar(sa.text("SELECT count(*) FROM purpose")) == 1


def test_gates_that_start_together_migrate_in_turn(url: str):
    """Two processes on one empty database: neither fails, and nothing is made twice."""
    databases = [Database(create_engine(url)) for _ in range(3)]
    start = threading.Barrier(len(databases))

    def migrate(database: Database) -> None:
        start.wait(10)
        database.migrate()

    with ThreadPoolExecutor(len(databases)) as pool:
        list(pool.map(migrate, databases))
    assert differences(databases[0]) == []
    for database in databases:
        database.dispose()


def killed_in_migration(url: str, statement: int) -> bool:
    """Migrate in a fork that dies before its n-th change of the schema; whether it came to that."""
    pid = os.fork()
    if pid == 0:
        database = Database(create_engine(url))
        seen = [0]

        def count(_connection: object, _cursor: object, text: str, *_more: object) -> None:
            seen[0] += text.lstrip().upper().startswith(("CREATE", "INSERT", "UPDATE"))
            if seen[0] == statement:
                os.kill(os.getpid(), signal.SIGKILL)

        sa.event.listen(database.engine, "before_cursor_execute", count)
        try:
            database.migrate()
        finally:
            os._exit(0)
    _, status = os.waitpid(pid, 0)
    return os.WIFSIGNALED(status)


@pytest.mark.parametrize("statement", [1, 2, 9, 25, 36])
def test_a_killed_migration_leaves_nothing_half_made(database: Database, url: str, statement: int):
    """Law 4: what a migration does is one transaction on both databases."""
    assert killed_in_migration(url, statement)
    with database.engine.connect() as connection:
        left = set(sa.inspect(connection).get_table_names())
    assert left == set()
    database.migrate()
    assert differences(database) == []


def test_setting_a_gate_up_again_keeps_it_as_it_is(tmp_path: Path):
    """``fleetgate init`` may be repeated: one gate key, one statement, one entry each in the ledger."""
    house = House(home=tmp_path / "home")
    with house.opened() as gate:
        size = gate.ledger.size
    initialise(house.settings(), keystore=house.keystore)
    with house.opened() as gate:
        assert gate.ledger.size == size
        assert gate.ledger.verify().open_intents == 0
