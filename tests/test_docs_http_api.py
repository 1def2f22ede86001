"""docs/http-api.md against the server: its routes, its problem reasons, its signature profile."""

import re
from pathlib import Path

import pytest

from gateway.api import problems, signature_profile
from gateway.api.refusals import SignatureReason, SignatureRefusedError
from gateway.server import create_app

DOCUMENT = Path(__file__).parents[1] / "docs" / "http-api.md"


@pytest.fixture(scope="module")
def text():
    return DOCUMENT.read_text("utf-8")


def test_every_route_is_documented_and_no_other(text, sqlite_house):
    with sqlite_house.opened() as gate:
        paths = create_app(gate).openapi()["paths"]
    served = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    served = {
        route.replace("{name}", "{name:path}") if "/items/{name}" in route else route for route in served
    }
    documented = set(re.findall(r"^\| `((?:GET|POST|PUT|DELETE|PATCH) [^`]+)`", text, re.MULTILINE))
    assert {route.replace("{name:path}", "{name}") for route in served} == documented


def descendants(kind):
    yield kind
    for child in kind.__subclasses__():
        yield from descendants(child)


def _on_the_wire(kind: type[Exception]) -> bool:
    """Commands have errors of their own, which no route raises."""
    return kind.__module__.startswith(("gateway.", "anonymize.", "audit.", "policies.")) and not (
        kind.__module__.startswith("gateway.commands")
    )


def reasons() -> set[tuple[str, int]]:
    """Every reason with its status, as the table of statuses gives them."""
    found = {("not_found", 404), ("method_not_allowed", 405), ("http_error", 400), ("internal_error", 500)}
    seen: set[type[Exception]] = set()
    for kind, status, fixed in problems._STATUS:
        fresh = [k for k in descendants(kind) if k not in seen and _on_the_wire(k)]
        seen.update(fresh)
        if fixed:
            found.add((fixed, status))
        elif kind is SignatureRefusedError:
            found |= {(reason.value, status) for reason in SignatureReason}
        else:
            found |= {(k.reason, status) for k in fresh if isinstance(getattr(k, "reason", None), str)}
    return found


def test_every_problem_reason_is_documented_with_its_status(text):
    rows = re.findall(r"^\| (\d{3}) \| (.+?) \|", text, re.MULTILINE)
    documented = {
        (reason, int(status)) for status, cell in rows for reason in re.findall(r"`([a-z0-9_]+)`", cell)
    }
    # Base classes that are never raised themselves, and what only the agent and the worker say.
    internal = {"gateway_error", "anonymize_error", "policy_error"}
    expected = {(reason, status) for reason, status in reasons() if reason not in internal}
    assert expected - documented == set()
    assert {reason for reason, _ in documented} <= {reason for reason, _ in expected}


def test_signature_profile_is_documented(text):
    for word in (
        signature_profile.TAG,
        *signature_profile.TARGET_PARTS,
        *sorted(signature_profile._PARAMETERS),
    ):
        assert f"`{word}`" in text
    assert f"{signature_profile.DEFAULT_MAX_AGE_S} seconds" in text
    assert f"{signature_profile.CLOCK_SKEW_S} seconds" in text
    assert "Fleetgate-Purpose".lower() == signature_profile.PURPOSE_HEADER
    for name in problems.SECURITY_HEADERS:
        assert f"`{name}" in text
