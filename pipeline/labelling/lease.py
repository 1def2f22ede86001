"""Whether the gate lets a task's release be read now; what it said holds for seconds."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Final

from pipeline.client import GatewayClient
from pipeline.errors import RefusedError, UnreachableError
from pipeline.labelling.errors import GateSilentError, LabelReleaseEndedError
from pipeline.sealed_cache import ENDING_STATUSES

DEFAULT_LEASE_S: Final = 15.0


class ReleaseLease:
    """Asks for the first byte of a frame, under a signed request for the stated purpose.

    So policy decides and the ledger has an entry.
    """

    def __init__(
        self,
        client: GatewayClient,
        release: str,
        item: str,
        *,
        every_s: float = DEFAULT_LEASE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin without any right.

        Args:
            client: Connection to the gate, which stays open.
            release: The release.
            item: A frame of it.
            every_s: Seconds for which an answer holds.
            clock: Seconds that only go on.
        """
        self._client, self._release, self._item = client, release, item
        self._every_s, self._clock = every_s, clock
        self._asked: float | None = None
        self._lock = Lock()

    def hold(self) -> None:
        """Be sure that the gate allowed the release less than ``every_s`` ago; ask where it did not.

        Raises:
            LabelReleaseEndedError: The gate refuses.
            GateSilentError: It cannot answer now.
            TamperedReleaseError: What it answers is not what was signed.
        """
        with self._lock:
            now = self._clock()
            if self._asked is not None and now - self._asked < self._every_s:
                return
            self._asked = None
            self.ask()
            self._asked = now

    def ask(self) -> None:
        """Ask the gate now; raises as ``hold``."""
        with ending(self._release):
            self._client.read(self._release, self._item, 0, 1)


@contextmanager
def ending(release: str) -> Iterator[None]:
    """Tell refusals of the gate as those of a labelling task.

    Raises:
        LabelReleaseEndedError: The gate says that the right to read is over.
        GateSilentError: It cannot answer now.
    """
    try:
        yield
    except RefusedError as error:
        if error.status in ENDING_STATUSES:
            raise LabelReleaseEndedError(f"release {release} may not be read any more: {error}") from error
        raise GateSilentError(f"release {release}: the gate cannot answer now: {error}") from error
    except UnreachableError as error:
        raise GateSilentError(f"release {release}: the gate cannot answer now: {error}") from error
