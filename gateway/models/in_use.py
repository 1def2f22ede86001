"""Which registered models look at the next image: the registry's rows, held against the ledger."""

from audit.events import EventType, Outcome
from audit.ledger import Ledger
from audit.query import EntryFilter, find_page
from gateway.database import Database
from gateway.errors import EvidenceError
from gateway.models.registry import RegisteredModel, registered_models

_PAGE = 1000


class ModelsInUse:
    """Reads the registry at each call; rows are verified each time, and against the ledger when they changed.

    A row carries its own signatures, but says nothing of a row that was deleted; the ledger does.
    """

    def __init__(self, database: Database, ledger: Ledger) -> None:
        self._database = database
        self._ledger = ledger
        self._attested: tuple[str, ...] | None = None

    def __call__(self) -> tuple[RegisteredModel, ...]:
        """The registered models in use, sorted by name.

        Raises:
            EvidenceError: A row does not verify, or a model that the ledger saw added has none.
        """
        with self._database.read() as session:
            models = registered_models(session)
        statements = tuple(model.statement for model in models)
        if statements != self._attested:
            missing = self._added() - {model.card.name for model in models}
            if missing:
                raise EvidenceError(f"models are missing from the registry (got none of {sorted(missing)})")
            self._attested = statements
        return tuple(model for model in models if model.retired_at is None)

    def _added(self) -> set[str]:
        """Names of all models whose addition the ledger saw completed."""
        wanted = EntryFilter(types=(EventType.MODELS_MODEL_ADD,), outcome=Outcome.COMPLETED)
        names: set[str] = set()
        after: int | None = None
        with self._ledger.snapshot() as snapshot:
            while True:
                page = find_page(snapshot, wanted, limit=_PAGE, after=after)
                names |= {entry.event.object for entry in page.entries}
                if page.cursor is None:
                    return names
                after = page.cursor
