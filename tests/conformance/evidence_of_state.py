"""What a gate's state looks like from outside: every row, every sealed file, every key."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from gateway.database import Base
from gateway.flow.gate import Gate

# When jobs last ran says nothing about an act.
_BESIDE = frozenset({"job_run"})


def state_of(gate: Gate) -> dict[str, Any]:
    """Everything that an act could have changed, except the ledger."""
    with gate.database.read() as session:
        rows: dict[str, Any] = {
            table.name: sorted(map(repr, session.execute(sa.select(table))))
            for table in Base.metadata.sorted_tables
            if table.name not in _BESIDE
        }
    for folder in ("objects", "keystore/kek"):
        rows[folder] = files_of(gate.settings.home / folder)
    return rows


def files_of(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@contextmanager
def altered(gate: Gate, table: str, column: str, value: object, **where: object) -> Iterator[None]:
    """Change one column of some rows behind the gate's back, and put them back afterwards."""
    target = Base.metadata.tables[table]
    match = sa.and_(*(target.c[name] == wanted for name, wanted in where.items()))
    key = list(target.primary_key.columns)
    with gate.database.transaction() as session:
        before = session.execute(sa.select(*key, target.c[column]).where(match)).all()
        session.execute(sa.update(target).where(match).values({column: value}))
    assert before, f"no row of {table} where {where}"
    assert any(row[-1] != value for row in before), f"{table}.{column} is {value!r} already"
    try:
        yield
    finally:
        with gate.database.transaction() as session:
            for row in before:
                same = sa.and_(*(c == v for c, v in zip(key, row, strict=False)))
                session.execute(sa.update(target).where(same).values({column: row[-1]}))
