"""Ray, started on this machine for one run or joined: without telemetry, without a dashboard, nothing spilled.

Ray writes objects to disk in the clear when its memory is full, logs what tasks print, and keeps task arguments in
its control process. So nothing but references goes through it: file names of keys, positions of items, proofs.

Its processes listen on every interface of the machine, which no option of Ray 2.60 changes; a cluster that is
started here therefore demands a token made for it from whoever calls (``RAY_AUTH_MODE=token``).
"""

import logging
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Final

from pipeline.scale.errors import TooFewCpusError

OBJECT_STORE_BYTES: Final = 96 * 1024 * 1024
_QUIET: Final = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    # By default workers of Ray give way to everything else that runs.
    "RAY_worker_niceness": "0",
}


@contextmanager
def ray_cluster(address: str | None = None, *, cpus: int | None = None) -> Iterator[ModuleType]:
    """Ray, connected; left at the end, and ended where it was started here.

    Args:
        address: Of a cluster that runs, ``HOST:PORT``; by default one is started on this machine.
        cpus: Processors of a cluster that is started, by default those that this process may use.

    Raises:
        ModuleNotFoundError: The extra ``scale`` is not installed.
    """
    own = {} if address else {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": _token()}
    # Ray tells of lost nodes on standard output, which belongs to answers.
    with _environment({**_QUIET, **own}), redirect_stdout(sys.stderr):
        import ray  # noqa: PLC0415 - an extra, and it reads the environment when it is loaded

        # Ray opens its own folder to everybody; the one around it stays closed.
        around = Path(tempfile.mkdtemp(prefix="fg-ray-"))
        try:
            if address:
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
            else:
                ray.init(
                    address="local",
                    num_cpus=cpus or len(os.sched_getaffinity(0)),
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    object_store_memory=OBJECT_STORE_BYTES,
                    _node_ip_address="127.0.0.1",
                    _temp_dir=str(around / "ray"),
                    _system_config={"automatic_object_spilling_enabled": False},
                )
            yield ray
        finally:
            ray.shutdown()
            shutil.rmtree(around, ignore_errors=True)


def demand_cpus(ray: ModuleType, workers: int, share: float) -> None:
    """Refuse more workers than leave one processor free: Ray Data waits without end and without a word otherwise.

    Raises:
        TooFewCpusError: See there.
    """
    free = float(ray.available_resources().get("CPU", 0.0))
    if workers * share + 1.0 > free:
        most = max(0, int((free - 1.0) / share))
        raise TooFewCpusError(
            f"workers (got {workers}, expected at most {most}): each takes {share:g} of the {free:g} free "
            "processors and one must be left for Ray itself; ask for fewer, or take the process pool"
        )


@cache
def _token() -> str:
    """One for each process: Ray reads it, and that one is needed, when it is first loaded."""
    return os.environ.get("RAY_AUTH_TOKEN") or secrets.token_hex(32)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
