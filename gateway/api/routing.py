"""What every route of the gate does around its own work: a trace of each attempt, one effect per key."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from audit.events import EventType
from gateway.api import problems
from gateway.api.authentication import act_of
from gateway.api.idempotency import Claim, Repeated, drop_claim, keep_answer
from gateway.errors import InvalidRequestError
from gateway.flow.acts import Attempt, attempted, refused
from gateway.flow.gate import Gate

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
_UNKNOWN = 500


class GateRoute(APIRoute):
    """A route whose every refused attempt is in the ledger, and whose answers are kept under idempotency keys.

    1. A request that was answered before under its key gets that answer. 2. A refusal that left no entry yet
    gets one, by caller and reason. 3. An answer is kept under the key; where nothing was begun the key is given
    back; where the outcome is unknown (500 and above) neither, and repetitions are refused.
    """

    def get_route_handler(self) -> Handler:
        """The route's own handler with the steps around it."""
        answer = super().get_route_handler()

        async def handle(request: Request) -> Response:
            gate: Gate = request.app.state.gate
            with attempted() as attempt:
                try:
                    response = await answer(request)
                except Repeated as earlier:  # step 1
                    return earlier.response
                except Exception as error:
                    await _refused(gate, request, attempt, error)
                    raise
                if (claim := _claim(request)) is not None:
                    await run_in_threadpool(keep_answer, gate, claim, response)
                return response

        return handle


async def _refused(gate: Gate, request: Request, attempt: Attempt, error: Exception) -> None:
    named = InvalidRequestError("invalid request") if isinstance(error, RequestValidationError) else error
    status, reason = problems.status_and_reason(named)
    if status >= _UNKNOWN:
        return
    if not attempt.entered:  # step 2
        actor = getattr(request.state, "caller", "unknown")
        await run_in_threadpool(
            refused,
            gate,
            EventType.AUTH_REQUEST_REFUSE,
            actor=actor,
            object_id=act_of(request),
            reason=reason,
        )
    if (claim := _claim(request)) is None:
        return
    if attempt.begun:  # step 3
        await run_in_threadpool(keep_answer, gate, claim, problems.describe(named))
    else:
        await run_in_threadpool(drop_claim, gate, claim)


def _claim(request: Request) -> Claim | None:
    return getattr(request.state, "claim", None)
