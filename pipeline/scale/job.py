"""What travels to a worker: references only. Keys are named by their files, items by their place in a release."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.connecting import connect
from pipeline.manifest import ReleaseItem
from pipeline.mining.run import Connecting

if TYPE_CHECKING:
    from pipeline.mining.load import ReleaseSource


class ItemFunction(Protocol):
    """A pure function from one released item to a small value.

    The same item gives the same bytes, on whichever machine and however often it runs.
    """

    def takes(self, item: ReleaseItem) -> bool:
        """Whether it has an output for the item."""
        ...

    def output(self, item: ReleaseItem) -> str:
        """The name of its output: the function, its version, its parameters and the content that it is of."""
        ...

    def __call__(self, source: "ReleaseSource", release: str, item: ReleaseItem) -> bytes:
        """The output.

        Raises:
            PipelineError: The gate refuses, or the item is not what its name says.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A function over the items of a release.

    Attributes:
        connecting: The connection, keys named by their files: each machine has them at the same paths.
        release: Id of the release.
        outputs: Folder of sealed outputs, which every worker sees.
        cache: Folder of sealed copies of items, or none.
        function: What is done.
    """

    connecting: Connecting
    release: str
    outputs: Path
    cache: Path | None
    function: ItemFunction


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """An output is in its place.

    Attributes:
        place: Position of the item in the manifest.
        proof: HMAC-SHA256 of the content under a key of the folder, hexadecimal.
        size: Bytes of the content.
    """

    place: int
    proof: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why there is no output; plain values, since not every error survives the way between processes.

    Attributes:
        place: Position of the item in the manifest.
        reason: The error's stable code.
        detail: Its message.
        status: HTTP status of a gate that refused, else None.
        violations: The rules that refused: rule, clause, text in Chinese, text in English.
    """

    place: int
    reason: str
    detail: str
    status: int | None = None
    violations: tuple[tuple[str, str, str, str], ...] = ()


def connection(connecting: Connecting) -> tuple[Any, Any]:
    """The client of a connection by reference, and the private key.

    Raises:
        typer.BadParameter: A file is not there or unusable.
    """
    return connect(
        connecting.url,
        key=connecting.key,
        principal=connecting.principal,
        purpose=connecting.purpose,
        release_key=connecting.release_key,
        passphrase_file=connecting.passphrase_file,
    )
