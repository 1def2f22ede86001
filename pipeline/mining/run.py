"""One run of a command over released data: its connection, where items are read, and how far it is."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import typer
from joserfc.jwk import OKPKey
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from pipeline.artefacts import UseKind
from pipeline.client import GatewayClient
from pipeline.connecting import connect
from pipeline.errors import PipelineError, RefusedError
from pipeline.failing import EXIT_REFUSED, report_failure
from pipeline.manifest import ReleaseItem
from pipeline.sealed_cache import ENDING_STATUSES, DerivedStore, SealedCache

_EXTRAS: Final = {"open_clip": "clip", "ray": "scale", "safetensors": "clip", "transformers": "clip"}


@dataclass(frozen=True, slots=True)
class Connecting:
    """What a command's options say of the connection."""

    url: str
    key: Path
    principal: str
    purpose: str
    release_key: Path
    passphrase_file: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A command at work.

    Attributes:
        client: Its connection.
        source: Where items are read: the connection, or the cache over it.
        principal: Who runs it.
        key: Their private key.
        progress: Shows which item is at work, its number from 1 and how many there are.
        counted: Shows how many of how many are done.
    """

    client: GatewayClient
    source: GatewayClient | SealedCache
    principal: str
    key: OKPKey
    progress: Callable[[ReleaseItem, int, int], None]
    counted: Callable[[int, int], None]

    def kept(self, release: str) -> DerivedStore | None:
        """Where values that were derived of a release are kept, sealed; None without a cache.

        Raises:
            RefusedError: It may not be read any more; what the cache held of it is wiped.
        """
        return self.source.derived(release) if isinstance(self.source, SealedCache) else None

    def report(self, kind: UseKind, release: str, query: Mapping[str, Any]) -> None:
        """Report what a release is used for, before anything of it is shown.

        Raises:
            RefusedError: The gate refuses; where the right to read is over, what the cache held of it is wiped.
            UnreachableError: It cannot be asked: nothing may be shown.
        """
        try:
            self.client.report_use(kind, [release], query)
        except RefusedError as error:
            if error.status in ENDING_STATUSES and isinstance(self.source, SealedCache):
                self.source.wipe(release)
            raise


@contextmanager
def told(*, as_json: bool) -> Iterator[None]:
    """Tell refusals and missing libraries as commands do, and end.

    Raises:
        typer.Exit: Refused, with status 1.
        typer.BadParameter: A library of the extra ``mining``, ``clip`` or ``scale`` is missing.
    """
    try:
        yield
    except PipelineError as error:
        report_failure(error, as_json=as_json)
        raise typer.Exit(EXIT_REFUSED) from error
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get(error.name or "", "mining")
        raise typer.BadParameter(f"{error.name} is missing: pip install 'fleetgate[{extra}]'") from error


@contextmanager
def connected(connecting: Connecting, cache: Path | None, *, quiet: bool) -> Iterator[Run]:
    """A run, with a cache where a folder is given, and progress on standard error.

    Raises:
        typer.BadParameter: An option is unusable; nothing was sent.
    """
    client, private = connect(
        connecting.url,
        key=connecting.key,
        principal=connecting.principal,
        purpose=connecting.purpose,
        release_key=connecting.release_key,
        passphrase_file=connecting.passphrase_file,
    )
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with client, Progress(*columns, console=Console(stderr=True), disable=quiet, transient=True) as bar:
        task = bar.add_task("", total=None)

        def show(item: ReleaseItem, number: int, of: int) -> None:
            bar.update(task, completed=number - 1, total=of, description=item.name)

        def count(done: int, of: int) -> None:
            bar.update(task, completed=done, total=of)

        with ExitStack() as stack:
            source = client if cache is None else stack.enter_context(SealedCache(client, cache, key=private))
            yield Run(
                client=client,
                source=source,
                principal=connecting.principal,
                key=private,
                progress=show,
                counted=count,
            )


def content_of(path: Path) -> bytes:
    """The content of a file that an option names.

    Raises:
        typer.BadParameter: It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{path}: {error.strerror}") from error
