"""No ledger, no service (law 2): a process that cannot append answers 503 to everything, without content."""

from starlette.types import ASGIApp, Receive, Scope, Send

from audit.errors import LedgerError
from audit.ledger import Ledger
from gateway.api.problems import SecurityHeaders, describe


class RequireLedger:
    """ASGI middleware: once the ledger takes no further entry, every request gets that problem."""

    def __init__(self, app: ASGIApp, *, ledger: Ledger) -> None:
        self._app, self._ledger = app, ledger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on while the ledger runs, as far as this process knows."""
        if scope["type"] == "http":
            try:
                self._ledger.require_running()
            except LedgerError as error:
                await describe(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def closed(error: LedgerError) -> ASGIApp:
    """The application of a process that never got hold of the ledger."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await describe(error)(scope, receive, send)

    return SecurityHeaders(answer)
