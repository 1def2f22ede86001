"""The OpenAPI 3.1 description of the HTTP API: what FastAPI knows of the routes, and what ``openapi.yaml`` says.

The YAML holds, by ``METHOD path``, what a program cannot tell: summaries in English and Chinese, answers with
their schemas, examples, headers. A route without an entry there is an error, so that none is served undescribed.
"""

from collections.abc import Mapping
from functools import lru_cache
from http import HTTPStatus
from importlib import resources
from typing import Any

import yaml
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from gateway.api.operators import Body
from gateway.errors import ConfigurationError

_FASTAPI_ERRORS = frozenset({"HTTPValidationError", "ValidationError"})
_PROBLEM = "application/problem+json"
_SIGNED_ANSWERS = (401, 403, 422, 429, 500, 503)
_BODY_SCHEMA = "#/components/schemas/{model}"


@lru_cache(maxsize=1)
def _texts() -> dict[str, Any]:
    source = resources.files("gateway.api") / "openapi.yaml"
    texts: dict[str, Any] = yaml.load(source.read_bytes(), Loader=yaml.CSafeLoader)
    return texts


def openapi_of(app: FastAPI) -> dict[str, Any]:
    """The description of an application's routes.

    Raises:
        ConfigurationError: A route is not described, or a description has no route.
    """
    texts = _texts()
    document = get_openapi(
        title=texts["info"]["title"],
        version=app.version,
        description=texts["info"]["description"],
        routes=app.routes,
    )
    routes = {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    if routes.keys() != texts["operations"].keys():
        raise ConfigurationError(
            f"routes and their descriptions differ (got {sorted(routes.keys() ^ texts['operations'].keys())})"
        )
    for name, operation in routes.items():
        _complete(name, operation, texts["operations"][name], texts)
    known = document.get("components", {}).get("schemas", {})
    enums = {name: schema for name, schema in known.items() if name not in _FASTAPI_ERRORS}
    schemas = {**enums, **_body_schemas(), **texts["components"]["schemas"]}
    document["components"] = {**texts["components"], "schemas": schemas}
    document["security"] = [{"signature": [], "signatureInput": []}]
    return document


def _body_schemas() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for model in Body.__subclasses__():
        schema = model.model_json_schema(ref_template=_BODY_SCHEMA)
        found |= schema.pop("$defs", {})
        found[model.__name__] = schema
    return found


def _complete(
    name: str, operation: dict[str, Any], entry: Mapping[str, Any], texts: Mapping[str, Any]
) -> None:
    signed = entry.get("signed", True)
    operation["operationId"] = entry["id"]
    operation["summary"] = entry["summary"]
    operation["description"] = f"{entry['description']}\n\n{entry['zh']}"
    headers = [*entry.get("headers", ()), *(["Idempotency-Key"] if name.startswith("POST ") else [])]
    operation["parameters"] = [
        *operation.get("parameters", ()),
        *({"$ref": f"#/components/parameters/{header}"} for header in headers),
    ]
    if not signed:
        operation["security"] = []
    if "body" in entry:
        operation["requestBody"] = _request_body(entry)
    answers = {str(status): dict(answer) for status, answer in entry["answers"].items()}
    also = (*(_SIGNED_ANSWERS if signed else ()), *entry.get("problems", ()))
    for status in sorted(set(also)):
        answers[str(status)] = _problem(status, texts["problems"][status])
    operation["responses"] = answers


def _request_body(entry: Mapping[str, Any]) -> dict[str, Any]:
    body = entry["body"]
    if "model" in body:
        media = {"schema": {"$ref": _BODY_SCHEMA.format(model=body["model"])}, "example": body["example"]}
        return {"required": True, "content": {"application/json": media}}
    return {"required": True, "content": body["content"]}


def _problem(status: int, example: Mapping[str, Any]) -> dict[str, Any]:
    reason = example["reason"]
    document = {
        "type": f"urn:fleetgate:problem:{reason}",
        "title": reason.replace("_", " "),
        "status": status,
        **example,
    }
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        "description": HTTPStatus(status).phrase,
        "content": {_PROBLEM: {"schema": schema, "example": document}},
    }


def install(app: FastAPI) -> None:
    """Let ``/openapi.json`` give the full description."""

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = openapi_of(app)
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]
