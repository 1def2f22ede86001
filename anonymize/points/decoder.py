"""Errors of the LASzip decoder, which is written in Rust."""

from collections.abc import Iterator
from contextlib import contextmanager

import lazrs  # type: ignore[import-untyped]

from anonymize.errors import MalformedItemError


@contextmanager
def decoding() -> Iterator[None]:
    """Bring what the decoder raises to this package's error.

    Raises:
        MalformedItemError: The compressed points are damaged.
    """
    try:
        yield
    except lazrs.LazrsError as error:
        raise MalformedItemError(f"compressed points are damaged ({str(error)[:80]})") from error
    except BaseException as error:
        # A panic in Rust arrives as an exception that is no Exception; lazrs does not export its class.
        if type(error).__name__ != "PanicException":
            raise
        raise MalformedItemError("compressed points are damaged (got a panic of the decoder)") from error
