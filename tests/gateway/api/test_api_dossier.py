"""The dossier over HTTP: content types, roles, and that each reading is an entry."""

import hashlib
import json

import pytest

from audit.events import EventType, Outcome
from gateway.dossier.issue import DOSSIER_TYPE
from gateway.vault.jws import verify_statement

FORMS = {
    "json": "application/json",
    "html": "text/html; charset=utf-8",
    "pdf": "application/pdf",
    "prov": "application/json",
    "openlineage": "application/json",
    "statement": "application/jose",
    "receipt": "application/json",
}


def path(served, **query):
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    return f"/operators/v1/releases/{served.release}/dossier?{asked}"


@pytest.mark.parametrize("form", FORMS)
def test_each_file_is_served_with_its_type(served, form):
    answer = served.call("auditor", "GET", path(served, format=form, lang="zh"))
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == FORMS[form]
    assert len(answer.content) > 100


def test_documents_are_those_that_were_signed(served):
    """Whoever asks, the bytes are the same, and their digests stand in the signed statement."""
    statement = served.call("first", "GET", path(served, format="statement")).text
    said = verify_statement(statement, DOSSIER_TYPE, served.gate.keystore.statement_key("release"))
    for language in ("zh", "en"):
        page = served.call("officer", "GET", path(served, format="html", lang=language)).content
        assert hashlib.sha256(page).hexdigest() == said["files"][f"dossier.{language}.html"]
        assert f'lang="{language}'.encode() in page
    shown = served.call("officer", "GET", path(served, edition="recipient"))
    assert json.loads(shown.content)["edition"] == "recipient"


def test_others_are_refused_and_readings_are_entries(served, is_problem):
    is_problem(served.call("engineer", "GET", path(served)), 403, "forbidden")
    is_problem(served.call("auditor", "GET", path(served, format="docx")), 422, "invalid_request")
    missing = served.call("auditor", "GET", "/operators/v1/releases/nowhere/dossier")
    is_problem(missing, 404, "not_found")
    read = served.entries()
    kinds = [(e.event.type, e.event.outcome) for e in read if e.event.actor == "auditor"]
    assert (EventType.DOSSIER_RELEASE_READ, Outcome.COMPLETED) in kinds
