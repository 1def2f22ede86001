"""The HTTP service of a witness (C2SP tlog-witness): one endpoint, and nothing of the ledger behind it."""

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from audit.witness import MAX_BODY_BYTES, Witness


def create_witness_app(witness: Witness) -> Starlette:
    """The service: ``POST /add-checkpoint``. Requests need no credential but the log's signature in them."""

    async def add_checkpoint(request: Request) -> Response:
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > MAX_BODY_BYTES:
                break
        answer = await run_in_threadpool(witness.add_checkpoint, body)
        return Response(
            answer.body,
            status_code=answer.status,
            headers={"content-type": answer.media_type, "cache-control": "no-store"},
        )

    return Starlette(routes=[Route("/add-checkpoint", add_checkpoint, methods=["POST"])])
