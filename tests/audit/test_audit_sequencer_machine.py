"""Whatever happens to sequencer and clients: what was acknowledged is there, once, in the order of receipts."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from audit.errors import LedgerUnavailableError
from audit.ledger import Ledger
from sequencing import Processes, client_ledger, event_of, own_ledger, wait_until


class SequencerAndClients(RuleBasedStateMachine):
    """One sequencer, clients in processes of their own, one client in this process, and a command beside them."""

    base: ClassVar[Path]

    def __init__(self) -> None:
        super().__init__()
        self.poisoned = False
        self.known: dict[int, str] = {}
        self.number = 0
        self.here: Ledger | None = None

    @initialize()
    def begin(self) -> None:
        folder = self.base / str(len(list(self.base.iterdir())))
        folder.mkdir()
        self.command = own_ledger(folder)
        self.processes = Processes(folder=folder)
        self.processes.start_sequencer()

    def teardown(self) -> None:
        if self.here is not None:
            self.here.close()
        self.processes.close()
        self.everything_acknowledged_is_there()
        self.command.close()

    @property
    def running(self) -> bool:
        return self.processes.sequencer is not None

    def acknowledge(self, ledger: Ledger) -> None:
        self.number += 1
        receipt = ledger.append(event_of("here", self.number))
        assert receipt.index not in self.known, "an entry was acknowledged twice"
        assert receipt.index > max(self.known, default=-1), "receipts rise"
        self.known[receipt.index] = receipt.leaf_hash

    @precondition(lambda self: self.running and not self.poisoned)
    @rule(threads=st.integers(1, 4))
    def start_a_client(self, threads: int) -> None:
        self.processes.start_client(threads)

    @precondition(lambda self: any(client.is_alive() for client in self.processes.clients))
    @rule(data=st.data())
    def kill_a_client(self, data: st.DataObject) -> None:
        alive = [number for number, each in enumerate(self.processes.clients) if each.is_alive()]
        self.processes.kill_client(data.draw(st.sampled_from(alive)))

    @precondition(lambda self: self.running)
    @rule()
    def kill_the_sequencer(self) -> None:
        self.processes.kill_sequencer()
        self.all_clients_end()

    @precondition(lambda self: self.running)
    @rule()
    def poison_the_sequencer(self) -> None:
        self.processes.poison_sequencer()
        self.poisoned = True
        self.all_clients_end()

    @precondition(lambda self: not self.running or self.poisoned)
    @rule()
    def start_anew(self) -> None:
        if self.running:
            self.processes.kill_sequencer()
        if self.here is not None:
            self.refused(self.here)
            self.here.close()
            self.here = None
        self.processes.start_sequencer()
        self.poisoned = False

    @rule(count=st.integers(1, 3))
    def append_here(self, count: int) -> None:
        if self.here is None and self.running:
            self.here = client_ledger(self.processes.folder)
        for _ in range(count):
            if self.here is None or not self.running or self.poisoned:
                self.refused(self.here)
            else:
                self.acknowledge(self.here)

    @rule()
    def run_a_command(self) -> None:
        """With a writer of its own, whether the sequencer is there or not."""
        self.acknowledge(self.command)

    def refused(self, ledger: Ledger | None) -> None:
        """Nothing is acknowledged any more, to any thread."""

        def attempt(number: int) -> bool:
            try:
                if ledger is not None:
                    ledger.append(event_of("refused", number))
            except LedgerUnavailableError:
                return True
            return ledger is None

        with ThreadPoolExecutor(2) as pool:
            assert all(pool.map(attempt, range(2)))

    def all_clients_end(self) -> None:
        """Each of their threads is refused; none goes on or tries again."""
        for client in self.processes.clients:
            client.join(20)
            assert not client.is_alive()
        if self.here is not None:
            ledger = self.here
            wait_until(lambda: ledger._writer.stopped is not None)

    @invariant()
    def everything_acknowledged_is_there(self) -> None:
        theirs = self.processes.acknowledged()
        assert not theirs.keys() & self.known.keys(), "an entry was acknowledged to two"
        acknowledged = theirs | self.known
        stored = {entry.index: entry.leaf_hash.hex() for entry in self.command.entries()}
        assert acknowledged.items() <= stored.items()
        assert self.command.verify().size >= len(stored)


def test_whatever_happens_what_was_acknowledged_is_there(tmp_path: Path) -> None:
    """Law 4, law 2: ``kill -9`` of sequencer and clients at any moment, poison, restarts, commands beside them."""
    SequencerAndClients.base = tmp_path
    run_state_machine_as_test(
        SequencerAndClients,
        settings=settings(
            max_examples=3,
            stateful_step_count=9,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
        ),
    )
