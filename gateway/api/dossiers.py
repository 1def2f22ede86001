"""The route of dossiers: for operators, auditors and compliance officers; each reading is recorded."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from gateway.api.authentication import authenticate
from gateway.api.nonces import NonceStore
from gateway.dossier.contents import Edition
from gateway.dossier.document import Language
from gateway.dossier.folder import PROOFS, DossierFile, file_of
from gateway.dossier.issue import dossier_of
from gateway.flow.gate import Gate


def with_dossier_route(router: APIRouter, gate: Gate, nonces: NonceStore) -> APIRouter:
    """The router with the route added; ``dossier_of`` asks for the role."""

    @router.get("/releases/{release_id}/dossier", response_class=Response)
    def get_dossier(
        release_id: str,
        request: Request,
        form: Annotated[DossierFile, Query(alias="format")] = DossierFile.JSON,
        lang: Language = Language.EN,
        edition: Edition = Edition.FULL,
    ) -> Response:
        caller = authenticate(gate, nonces, request, kind="person")
        name, media_type = form.file(lang)
        names = frozenset() if name in PROOFS else frozenset({name})
        issued = dossier_of(gate, release_id, actor=caller.actor, edition=edition, names=names)
        return Response(file_of(issued, name), media_type=media_type)

    return router
