"""Alembic environment: migrates over the connection that ``Database.migrate`` hands in."""

from alembic import context

from gateway.api import records as _api  # noqa: F401 (registers tables)
from gateway.database import Base
from gateway.dossier import records as _dossier  # noqa: F401 (registers tables)
from gateway.flow import records as _flow  # noqa: F401 (registers tables)
from gateway.models import records as _models  # noqa: F401 (registers tables)
from gateway.people import records as _people  # noqa: F401 (registers tables)
from gateway.vehicles import records as _vehicles  # noqa: F401 (registers tables)

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    render_as_batch=True,
    include_name=lambda name, kind, _parents: kind != "table" or not (name or "").startswith("ledger_"),
)
with context.begin_transaction():
    context.run_migrations()
