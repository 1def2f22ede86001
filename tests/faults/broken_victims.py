"""Victims that are broken on purpose: the harness of injected faults has to find each of them."""

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import sqlalchemy as sa

from gateway.vault.durable import PendingFile

Tell = Callable[..., None]


def _early(tell: Tell) -> Tell:
    """Acknowledges before the sync."""
    real = PendingFile.sync
    waiting: list[PendingFile] = []

    def put_off(pending: PendingFile) -> None:
        waiting.append(pending)

    PendingFile.sync = put_off  # type: ignore[method-assign]

    def told(*words: str) -> None:
        tell(*words)
        while waiting:
            with suppress(Exception):
                real(waiting.pop())

    return told


def _swallow(tell: Tell) -> Tell:
    """Goes on after a failed sync."""
    real = os.fsync

    def quiet(descriptor: int) -> None:
        with suppress(OSError):
            real(descriptor)

    os.fsync = quiet
    return tell


def _retry(tell: Tell) -> Tell:
    """Repeats a failed sync, as if that brought the lost pages back."""
    real = os.fsync

    def again(descriptor: int) -> None:
        try:
            real(descriptor)
        except OSError:
            real(descriptor)

    os.fsync = again
    return tell


def _in_place(tell: Tell) -> Tell:
    """Gives a file its name before it is written."""
    real = PendingFile.write
    publish = PendingFile.publish

    def write(pending: PendingFile, data: bytes) -> None:
        if pending.length == 0:
            publish(pending)
        real(pending, data)

    PendingFile.write = write  # type: ignore[method-assign]
    PendingFile.publish = lambda _pending: None  # type: ignore[method-assign]
    return tell


def _hasty(tell: Tell) -> Tell:
    """Has databases that do not sync."""

    def hurry(connection: Any, _record: object, _proxy: object) -> None:
        connection.execute("PRAGMA synchronous = OFF")

    sa.event.listen(sa.Pool, "checkout", hurry)
    return tell


BROKEN = {"hasty": _hasty, "early": _early, "swallow": _swallow, "retry": _retry, "in place": _in_place}
