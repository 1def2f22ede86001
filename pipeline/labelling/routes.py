"""Routes of the label server. They hold no state of their own: whoever mounts them gives the service."""

import json
from collections.abc import Callable
from typing import Annotated, Any, Final
from urllib.parse import parse_qs

from fastapi import APIRouter, Cookie, Depends, Header, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from pipeline.errors import PipelineError
from pipeline.labelling.errors import (
    GateSilentError,
    LabelError,
    LabelReleaseEndedError,
    NotAdmittedError,
    SaveConditionError,
    TaskOverError,
)
from pipeline.labelling.pages import LANGUAGES, Pages
from pipeline.labelling.service import LabelService
from pipeline.labelling.sessions import LabelSession
from pipeline.labelling.store import Conflict, Revision

COOKIE: Final = "fleetgate_label"
LANGUAGE: Final = "fleetgate_language"
MAX_BODY: Final = 4 * 1024 * 1024
ENDINGS: Final = (TaskOverError, LabelReleaseEndedError, GateSilentError)


def label_routes(  # noqa: C901 - complexity counts the handlers that it defines
    service: LabelService, pages: Pages, *, secure: bool
) -> APIRouter:
    """Every route of annotators and reviewers; none of them gives labels or pictures in bulk.

    Args:
        service: What they do.
        pages: What they show.
        secure: Whether the server is reached by TLS, so that the cookie goes no other way.
    """
    router = APIRouter()

    def admitted(fleetgate_label: Annotated[str | None, Cookie()] = None) -> LabelSession:
        return service.session(fleetgate_label)

    admission = Annotated[LabelSession, Depends(admitted)]

    @router.get("/enter")
    def show_entrance(request: Request) -> HTMLResponse:
        return HTMLResponse(pages.entrance(language_of(request)))

    @router.post("/enter")
    async def enter(request: Request) -> Response:
        token = parse_qs((await body_of(request)).decode("ascii", "replace")).get("token", [""])[0].strip()
        language = language_of(request)
        try:
            secret, _ = await run_in_threadpool(service.enter, token)
        except (NotAdmittedError, TaskOverError) as error:
            return HTMLResponse(pages.entrance(language, refused=error.reason), status_code=403)
        answer = RedirectResponse("/", status_code=303)
        answer.set_cookie(COOKIE, secret, httponly=True, samesite="strict", secure=secure, path="/")
        return answer

    @router.post("/leave")
    def leave(session: admission, fleetgate_label: Annotated[str, Cookie()]) -> Response:
        service.leave(fleetgate_label, session)
        answer = RedirectResponse("/enter", status_code=303)
        answer.delete_cookie(COOKIE, path="/")
        return answer

    @router.get("/language/{language}")
    def speak(language: str) -> Response:
        answer = RedirectResponse("/", status_code=303)
        if language in LANGUAGES:
            answer.set_cookie(LANGUAGE, language, samesite="strict", secure=secure, path="/")
        return answer

    @router.get("/")
    def show_editor(request: Request, fleetgate_label: Annotated[str | None, Cookie()] = None) -> Response:
        language = language_of(request)
        try:
            session = service.session(fleetgate_label)
        except NotAdmittedError:
            return RedirectResponse("/enter", status_code=303)
        try:
            task = service.hold(session)
        except ENDINGS as error:
            return HTMLResponse(pages.ended(language, error.reason), status_code=status_of(error))
        return HTMLResponse(pages.editor(language, task, session))

    @router.get("/api/progress")
    def progress(session: admission) -> dict[str, Any]:
        return {"frames": service.progress(session)}

    @router.get("/api/objects")
    def objects(session: admission) -> dict[str, Any]:
        return {"objects": service.objects(session)}

    @router.post("/api/objects")
    async def add_object(session: admission, request: Request) -> dict[str, str]:
        sent = await document_of(request)
        return {"id": await run_in_threadpool(service.add_object, session, str(sent.get("class")))}

    @router.put("/api/objects/{object_id}")
    async def reclassify(session: admission, object_id: str, request: Request) -> dict[str, str]:
        sent = await document_of(request)
        await run_in_threadpool(service.reclassify, session, object_id, str(sent.get("class")))
        return {"id": object_id}

    @router.post("/api/objects/{object_id}/interpolation")
    async def interpolate(session: admission, object_id: str, request: Request) -> dict[str, Any]:
        sent = await document_of(request)
        done = await run_in_threadpool(service.interpolate, session, object_id, str(sent.get("kind")))
        return {"saved": list(done.saved), "left": list(done.left)}

    @router.get("/api/frames/{number}")
    def frame(session: admission, number: int) -> Response:
        view = service.frame(session, number)
        content = {
            "number": view.number,
            "width": view.frame.width,
            "height": view.frame.height,
            "sequence": view.frame.sequence,
            "labels": view.labels,
            "revision": view.revision,
            "picture": f"/picture/{view.token}",
        }
        return JSONResponse(content, headers={"ETag": tag_of(view.revision)})

    @router.get("/picture/{token}")
    def picture(session: admission, token: str) -> Response:
        shown = service.picture(session, token)
        return Response(shown.content, media_type="image/jpeg")

    @router.put("/api/frames/{number}")
    async def save(
        session: admission, number: int, request: Request, if_match: Annotated[str | None, Header()] = None
    ) -> Response:
        sent = await document_of(request)
        return await run_in_threadpool(
            _kept, service, session, lambda n: service.save(session, number, sent.get("labels"), n), if_match
        )

    @router.put("/api/frames/{number}/reviews")
    async def review(
        session: admission, number: int, request: Request, if_match: Annotated[str | None, Header()] = None
    ) -> Response:
        sent = await document_of(request)
        return await run_in_threadpool(
            _kept,
            service,
            session,
            lambda n: service.review(session, number, sent.get("reviews"), n),
            if_match,
        )

    return router


def _kept(
    service: LabelService,
    session: LabelSession,
    save: Callable[[int], Revision | Conflict],
    if_match: str | None,
) -> Response:
    """Keep first, then ask whether anything may be shown: a save is not lost with the right to read."""
    done = save(revision_of(if_match))
    try:
        service.hold(session)
    except ENDINGS as error:
        kept = done.kept if isinstance(done, Conflict) else done.number
        return problem(error, kept=kept)
    if isinstance(done, Conflict):
        last = {
            "revision": done.last.number,
            "labels": (done.last.value or {}).get("labels", []),
            "by": done.last.by,
            "at": done.last.at.isoformat(),
        }
        content = {"title": "conflict", "status": 412, "reason": "conflict", "kept": done.kept, "last": last}
        headers = {"ETag": tag_of(done.last.number)}
        return JSONResponse(content, 412, headers=headers, media_type="application/problem+json")
    content = {"revision": done.number, "labels": done.value["labels"], "at": done.at.isoformat()}
    return JSONResponse(content, headers={"ETag": tag_of(done.number)})


def tag_of(revision: int) -> str:
    """A revision as an entity tag (RFC 9110, 8.8.3)."""
    return f'"{revision}"'


def revision_of(if_match: str | None) -> int:
    """The revision that a save rests on (RFC 9110, 13.1.1); one tag, as ``tag_of`` made it.

    Raises:
        SaveConditionError: There is none.
    """
    given = (if_match or "").strip().strip('"')
    if not given.isascii() or not given.isdecimal():
        raise SaveConditionError(f'If-Match (got {if_match!r}, expected the ETag of the frame, such as "3")')
    return int(given)


async def body_of(request: Request) -> bytes:
    """The body of a request.

    Raises:
        LabelError: It is too long.
    """
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > MAX_BODY:
            raise LabelError(f"body (expected at most {MAX_BODY} bytes)")
    return bytes(content)


async def document_of(request: Request) -> dict[str, Any]:
    """A JSON object that was sent as one; a form of another site cannot send it.

    Raises:
        LabelError: It is none.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise LabelError(f"content type (got {kind!r}, expected 'application/json')")
    try:
        document = json.loads(await body_of(request))
    except (ValueError, RecursionError) as error:
        raise LabelError(f"body (expected JSON: {error})") from error
    if not isinstance(document, dict):
        raise LabelError(f"body (got {type(document).__name__}, expected an object)")
    return document


def language_of(request: Request) -> str:
    """What the page speaks: the cookie, then what the browser asks for, then Chinese."""
    chosen = request.cookies.get(LANGUAGE)
    if chosen in LANGUAGES:
        return str(chosen)
    wanted = request.headers.get("accept-language", "").lower()
    return "en" if wanted.startswith("en") else "zh"


STATUS: Final = {
    "not_admitted": 401,
    "not_permitted": 403,
    "frame_token_invalid": 403,
    "no_such_frame": 404,
    "label_invalid": 422,
    "label_ontology_invalid": 422,
    "revision_missing": 428,
    "too_many_views": 429,
    "label_task_over": 403,
    "release_ended": 403,
    "gate_unavailable": 503,
    "release_tampered": 502,
    "cache_unusable": 503,
    "label_store_unusable": 503,
}


def status_of(error: PipelineError) -> int:
    """The HTTP status that tells of an error."""
    return STATUS.get(error.reason, 500)


def problem(error: PipelineError, **more: Any) -> JSONResponse:
    """An error as RFC 9457 says it; names of items and rules of the gate stay with the owner."""
    status = status_of(error)
    shown = str(error) if status in {401, 403, 404, 422, 428, 429} and error.reason != "release_ended" else ""
    content = {"title": error.reason, "status": status, "reason": error.reason, "detail": shown, **more}
    return JSONResponse(content, status_code=status, media_type="application/problem+json")
