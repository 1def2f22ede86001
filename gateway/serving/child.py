"""What every process of a supervised gate does first, and how the supervisor names it."""

import logging
import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import wait

from audit.errors import LedgerUnavailableError

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


def begin_as(role: str) -> threading.Event:
    """Make this a process that ends when its supervisor says so or is gone, and never by the terminal.

    Returns:
        Set once it must end (SIGTERM).

    Raises:
        LedgerUnavailableError: It was not started by a supervisor.
    """
    supervisor = multiprocessing.parent_process()
    if supervisor is None:
        raise LedgerUnavailableError(f"{role} without a supervisor (start it by fleetgate serve)")
    # What the terminal sends goes to the supervisor alone, which ends its processes in order.
    os.setpgid(0, 0)
    logging.getLogger("apscheduler").setLevel(logging.WARNING)
    logging.basicConfig(
        level=logging.INFO,
        format=LOG_FORMAT.replace("%(name)s", f"{role}[{os.getpid()}] %(name)s"),
        force=True,
    )
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())

    def follow() -> None:
        wait([supervisor.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=follow, name="supervisor-gone", daemon=True).start()
    return ended
