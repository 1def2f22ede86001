"""A process of its own that carries one recording on and may die while it saves progress on a video.

Arguments: home, recording, file for names that were saved, hours that the clock is ahead, and optionally the
number of the save at which to die and ``before`` or ``after`` it.
"""

import os
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from gateway.app import open_gate
from gateway.settings import Settings
from gateway.vault.keys import Keystore
from gateway.videos.checkpoint import SealedCheckpoint
from gateway.workers import advance
from simulators import PASSPHRASE


def watch(log: Path, kill_at: int | None, when: str) -> None:
    """Note each name that is saved, and die at one of them; nothing of the product is replaced."""
    real = SealedCheckpoint.save
    saves = 0

    def counted(checkpoint: SealedCheckpoint, name: str, content: bytes) -> Any:
        nonlocal saves
        saves += 1
        if (saves, when) == (kill_at, "before"):
            os.kill(os.getpid(), signal.SIGKILL)
        real(checkpoint, name, content)
        with log.open("a") as out:
            out.write(f"{name}\n")
        if (saves, when) == (kill_at, "after"):
            os.kill(os.getpid(), signal.SIGKILL)

    SealedCheckpoint.save = counted  # type: ignore[method-assign]


def main(home: str, recording: str, log: str, hours: str, kill_at: str = "", when: str = "") -> None:
    watch(Path(log), int(kill_at) if kill_at else None, when)
    place = Path(home)
    keystore = Keystore.open(place / "keystore", PASSPHRASE, allow_insecure_test_cost=True)
    # The worker that died still holds its lease: its successor comes later.
    later = timedelta(hours=float(hours))
    settings = Settings(home=place, passphrase=PASSPHRASE)  # type: ignore[arg-type]
    with open_gate(settings, keystore=keystore, clock=lambda: datetime.now(UTC) + later) as gate:
        assert advance(gate, recording) is not None


if __name__ == "__main__":
    main(*sys.argv[1:])
