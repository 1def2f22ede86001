"""A run of a function over the items of a release: what is there is kept, the rest is done, all is entered."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.errors import RefusedError, Violation
from pipeline.scale.errors import ItemFailedError, WorkerLostError
from pipeline.scale.job import Failure, Job, Receipt, connection
from pipeline.scale.outputs import OutputFolder, OutputLedger, release_is_over, wipe_outputs


class Engine(Protocol):
    """What runs a job's items at least once: a pool of processes, or Ray."""

    def run(self, job: Job, places: Sequence[int]) -> Iterator[Receipt | Failure]:
        """Answers for the items at some places of the manifest, in any order; one may come twice."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A run that came to its end.

    Attributes:
        outputs: The folder, in which every output is.
        total: How many outputs there are.
        kept: How many of them were there before, verified.
        adopted: How many of these no line of the ledger told of.
        again: How many answers came for an output that was entered already.
        swept: How many half-written files of dead workers were removed.
    """

    outputs: OutputFolder
    total: int
    kept: int
    adopted: int
    again: int
    swept: int


def run_batch(
    job: Job, engine: Engine, *, progress: Callable[[int, int], None] = lambda *_: None
) -> Finished:
    """Make the output of every item that the function takes; repeat to go on.

    Args:
        job: What is done.
        engine: Who does it.
        progress: Called with how many outputs are there and how many there will be.

    Raises:
        RefusedError: The gate refuses, now or in the middle; it says what is kept. Where the release is over,
            nothing is.
        ItemFailedError: The function failed on an item; what was finished is kept.
        WorkerLostError, StalledError, TooFewCpusError: The engine cannot go on; the same.
        OutputsError: The folder of outputs cannot be used.
        NotDeterministicError: The function answered differently than before.
    """
    client, key = connection(job.connecting)
    with client:
        outputs = OutputFolder(client, job.release, job.outputs, key=key)
        items = client.manifest(job.release).items
        # Two items of the same content have one output.
        names = {job.function.output(item): n for n, item in enumerate(items) if job.function.takes(item)}
        by_place = {place: name for name, place in names.items()}
        with OutputLedger(outputs) as ledger:
            there, adopted = ledger.settle(names)
            kept, again = len(there), 0
            progress(kept, len(names))
            pending = [place for name, place in names.items() if name not in there]
            for answer in engine.run(job, pending) if pending else ():
                if isinstance(answer, Failure):
                    raise _error_of(answer, job, items[answer.place].name, (len(there), len(names)))
                name = by_place[answer.place]
                again += not ledger.record(name, answer.proof, answer.size)
                there.add(name)
                progress(len(there), len(names))
            if len(there) != len(names):
                raise WorkerLostError(f"outputs (got {len(there)}, expected {len(names)}); repeat to go on")
        return Finished(
            outputs=outputs, total=len(names), kept=kept, adopted=adopted, again=again, swept=ledger.swept
        )


def _error_of(
    failure: Failure, job: Job, item: str, there: tuple[int, int]
) -> RefusedError | ItemFailedError:
    kept = f"{there[0]} of {there[1]} outputs are kept, sealed, in {job.outputs}"
    if failure.status is None:
        return ItemFailedError(f"{item!r}: {failure.detail}; {kept}", failure.reason)
    violations = [
        Violation(rule=rule, clause=clause, text_zh=zh, text_en=en)
        for rule, clause, zh, en in failure.violations
    ]
    error = RefusedError(failure.status, failure.reason, failure.detail, violations)
    if release_is_over(error):
        wipe_outputs(job.outputs, job.release)
        return error
    told = f"{failure.detail}; {kept}: repeat once you may read the release again"
    return RefusedError(failure.status, failure.reason, told, violations)
