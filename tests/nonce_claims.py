"""What one process is told of nonces that others want as well; a module that is quickly loaded."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from gateway.api.nonces import SpentNonces
from gateway.database import Database, create_engine

MAX_AGE_S = 60


def until(created: datetime) -> datetime:
    return created + timedelta(seconds=MAX_AGE_S + 1)


def spent(database: Database, now: datetime) -> SpentNonces:
    """What a process that starts at ``now`` remembers."""
    return SpentNonces(database, now=now, max_age_s=MAX_AGE_S)


def claims(url: str, now: datetime, count: int) -> list[bool]:
    database = Database(create_engine(url))
    store = spent(database, now)
    with ThreadPoolExecutor(4) as pool:
        told = list(
            pool.map(lambda i: store.claim(keyid="v", nonce=f"n{i % 50}", until=until(now)), range(count))
        )
    database.dispose()
    return told
