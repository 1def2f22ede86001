"""Working ahead: an iterator that runs in a thread of its own, a bounded number of values in advance."""

import queue
import threading
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Failure:
    error: BaseException


class _End:
    pass


def work_ahead(values: Iterator[T], *, depth: int) -> Iterator[T]:
    """The same values; the next ones are made in another thread while the caller works on one.

    Args:
        values: Used by that thread only, and closed by it.
        depth: How many values may wait.

    Raises:
        BaseException: Whatever ``values`` raises, in its place.
    """
    waiting: queue.Queue[T | _Failure | _End] = queue.Queue(maxsize=depth)
    stop = threading.Event()

    def put(value: T | _Failure | _End) -> None:
        while not stop.is_set():
            with suppress(queue.Full):
                waiting.put(value, timeout=0.1)
                break

    def run() -> None:
        try:
            for value in values:
                put(value)
                if stop.is_set():
                    break
            put(_End())
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            put(_Failure(error))
        finally:
            if isinstance(values, Generator):
                values.close()

    worker = threading.Thread(target=run, daemon=True)
    worker.start()
    try:
        while not isinstance(value := waiting.get(), _End):
            if isinstance(value, _Failure):
                raise value.error
            yield value
    finally:
        stop.set()
        worker.join()
