"""A vault on disk, and an operating system that fails or kills at a chosen step."""

import os
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

import gateway.vault.blobs
import gateway.vault.durable
import gateway.vault.keys
import gateway.vault.named_secrets
from gateway.vault.blobs import LocalBlobs
from gateway.vault.keys import Keystore
from gateway.vault.root import INSECURE_TEST_ARGON2
from gateway.vault.store import Context, Vault
from gateway.vault.suites import SUITES, Suite

PASSPHRASE = "correct horse 电池"
STEPS = frozenset({"open", "write", "pwrite", "fsync", "link", "replace", "close"})
MODULES = (gateway.vault.durable, gateway.vault.blobs, gateway.vault.keys, gateway.vault.named_secrets)


@pytest.fixture(scope="session", params=SUITES, ids=lambda suite: suite.name)
def suite(request: pytest.FixtureRequest) -> Suite:
    return cast("Suite", request.param)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def reopen(home: Path, suite: Suite) -> Callable[[], Vault]:
    """The vault as a fresh process finds it."""

    def opened() -> Vault:
        keystore = Keystore.open(home / "keystore", PASSPHRASE, allow_insecure_test_cost=True, suite=suite)
        return Vault(LocalBlobs(home / "blobs"), keystore)

    return opened


@pytest.fixture
def keystore(home: Path, suite: Suite) -> Keystore:
    return Keystore.create(home / "keystore", PASSPHRASE, argon2=INSECURE_TEST_ARGON2, suite=suite)


@pytest.fixture
def blobs(home: Path) -> LocalBlobs:
    return LocalBlobs(home / "blobs")


@pytest.fixture
def vault(blobs: LocalBlobs, keystore: Keystore) -> Vault:
    keystore.ensure_kek("rec-1")
    return Vault(blobs, keystore)


@pytest.fixture
def context() -> Context:
    return Context(owner="rec-1", object="item-1", role="original")


class StepCounter:
    """Acts before the n-th file system call of the vault; ``fired`` says whether it came to that."""

    def __init__(self, at: int, action: Callable[[str], None]) -> None:
        self.at = at
        self.action = action
        self.fired: str | None = None
        self.seen: list[str] = []

    def step(self, name: str) -> None:
        self.seen.append(name)
        self.at -= 1
        if self.at == 0:
            self.fired = name
            self.action(name)


class FaultyOs:
    """The os module with a counter before each call that changes the file system."""

    def __init__(self, counter: StepCounter) -> None:
        self._counter = counter

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in STEPS:
            return real

        def counted(*args: Any, **kwargs: Any) -> Any:
            if name == "close":
                real(*args, **kwargs)
                return self._counter.step(name)
            self._counter.step(name)
            return real(*args, **kwargs)

        return counted


@pytest.fixture
def inject() -> Callable[..., Any]:
    """Context manager that makes the n-th file system call of the vault fail with an errno."""

    @contextmanager
    def injected(at: int, number: int) -> Iterator[StepCounter]:
        def fail(name: str) -> None:
            raise OSError(number, os.strerror(number), name)

        counter = StepCounter(at, fail)
        with pytest.MonkeyPatch.context() as patch:
            arm(patch, counter)
            yield counter

    return injected


def arm(patch: pytest.MonkeyPatch, counter: StepCounter) -> None:
    real_unlink = Path.unlink

    def unlink(path: Path, missing_ok: bool = False) -> None:  # noqa: FBT001, FBT002 (pathlib's signature)
        counter.step("unlink")
        real_unlink(path, missing_ok)

    for module in MODULES:
        patch.setattr(module, "os", FaultyOs(counter))
    patch.setattr(Path, "unlink", unlink)


@pytest.fixture
def killed_at() -> Callable[[int, Callable[[], bytes]], tuple[bool, bytes]]:
    """Run work in a forked process that kill -9 meets before its n-th file system call.

    Returns whether it was killed, and what it acknowledged: the work's result, sent after it returned.
    """

    def run(at: int, work: Callable[[], bytes]) -> tuple[bool, bytes]:
        receive, send = os.pipe()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                arm(pytest.MonkeyPatch(), StepCounter(at, lambda _: os.kill(os.getpid(), signal.SIGKILL)))
                os.write(send, work())
                status = 0
            except BaseException:  # noqa: BLE001 (a forked child reports and never returns into pytest)
                traceback.print_exc()
            finally:
                os._exit(status)
        os.close(send)
        with os.fdopen(receive, "rb") as pipe:
            acknowledged = pipe.read()
        _, status = os.waitpid(pid, 0)
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGKILL
            return True, acknowledged
        assert os.WEXITSTATUS(status) == 0, "the forked work failed"
        return False, acknowledged

    return run
