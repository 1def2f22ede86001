"""What a worker does, whichever engine started it: one item in, one sealed output, one receipt."""

from dataclasses import dataclass

import typer

from pipeline.client import GatewayClient
from pipeline.errors import PipelineError, RefusedError
from pipeline.scale.job import Failure, Job, Receipt, connection
from pipeline.scale.outputs import OutputFolder
from pipeline.sealed_cache import SealedCache


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opened:
    client: GatewayClient
    source: GatewayClient | SealedCache
    outputs: OutputFolder


class Worker:
    """A process's connection, cache and outputs, opened at its first item and kept."""

    def __init__(self, job: Job) -> None:
        """Of a job; nothing is opened yet."""
        self.job = job
        self._opened: _Opened | None = None

    def do(self, place: int) -> Receipt | Failure:
        """Make the output of the item at a place of the manifest and commit it.

        What went wrong is told as a value: errors of the gate do not survive the way between processes.
        """
        try:
            return self._do(place)
        except RefusedError as error:
            return Failure(
                place=place,
                reason=error.reason,
                detail=error.detail,
                status=error.status,
                violations=tuple((v.rule, v.clause, v.text_zh, v.text_en) for v in error.violations),
            )
        except PipelineError as error:
            return Failure(place=place, reason=error.reason, detail=str(error))
        except typer.BadParameter as error:
            return Failure(place=place, reason="key_unusable", detail=error.message)

    def close(self) -> None:
        """Leave connection and cache."""
        if self._opened is not None:
            if isinstance(self._opened.source, SealedCache):
                self._opened.source.close()
            self._opened.client.close()

    def _do(self, place: int) -> Receipt:
        if self._opened is None:
            self._opened = self._open()
        opened, function = self._opened, self.job.function
        item = opened.client.manifest(self.job.release).items[place]
        content = function(opened.source, self.job.release, item)
        proof = opened.outputs.keep(function.output(item), content)
        return Receipt(place=place, proof=proof, size=len(content))

    def _open(self) -> _Opened:
        client, key = connection(self.job.connecting)
        outputs = OutputFolder(client, self.job.release, self.job.outputs, key=key)
        source = client if self.job.cache is None else SealedCache(client, self.job.cache, key=key)
        return _Opened(client=client, source=source, outputs=outputs)
