"""A DuckDB in memory that reaches nothing outside itself, for expressions that engineers write.

No files, network, extensions, attached databases or variables of Python; the configuration is locked, so no
statement takes any of it back. (DuckDB, "Securing DuckDB".)
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import duckdb

_SETTINGS: Final = (
    "SET autoinstall_known_extensions = false",
    "SET autoload_known_extensions = false",
    "SET allow_community_extensions = false",
    "SET python_enable_replacements = false",
    # Plaintext stays in memory: without a folder to spill to, a query that needs more than permitted is an error.
    "SET temp_directory = ''",
    "SET enable_external_access = false",
    "SET lock_configuration = true",
)


@contextmanager
def locked_duckdb(*, threads: int = 2, memory_mib: int = 4096) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to a new, locked database, closed in the end."""
    connection = duckdb.connect(":memory:")
    try:
        connection.execute(f"SET threads = {int(threads)}")
        connection.execute(f"SET memory_limit = '{int(memory_mib)}MiB'")
        for setting in _SETTINGS:
            connection.execute(setting)
        yield connection
    finally:
        connection.close()
