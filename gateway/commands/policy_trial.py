"""Trying and comparing policy bundles; no gate is needed."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.commands.session import EXIT_REFUSED, Json, report, reporting, settings
from gateway.opa import opa_engine
from policies.difference import Difference, ParameterChange, difference
from policies.drafts import Draft, draft_in, require_same_questions, shipped_draft
from policies.embedded import EmbeddedEngine
from policies.trial import Trial, missing_rules, try_rule_tests, try_vectors

Bundle = Annotated[
    str, typer.Option("--bundle", help="Folder of a draft, laid out like `policies/`; or `shipped`.")
]


def draft_named(name: str) -> Draft:
    """The shipped bundle by its name, else the draft in a folder.

    Raises:
        PolicyError: It cannot be read.
    """
    return shipped_draft() if name == "shipped" else draft_in(Path(name))


@reporting
def policy_test(
    *,
    bundle: Bundle = "shipped",
    opa: Annotated[
        str | None,
        typer.Option(help="URL of an OPA server that serves this bundle; the vectors are put to it, too."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Run a bundle's golden vectors and tests of rules; exit status 1 if anything fails.

    Embedded engine; with `--opa`, the vectors on an OPA server as well (`policy export --bundle`), which is never
    written to.
    """
    draft = draft_named(bundle)
    require_same_questions(draft)
    with EmbeddedEngine(draft.bundle) as engine:
        trials = [try_vectors(draft, engine), try_rule_tests(draft, engine.name)]
    if opa is not None:
        server = opa_engine(settings(), opa, draft.bundle)
        try:
            trials.append(try_vectors(draft, server))
        finally:
            server.close()
    lacking = missing_rules(draft.bundle, shipped_draft().bundle)
    faults = [fault for trial in trials for fault in trial.faults]
    passed = not faults and not lacking
    report(
        {
            "bundle": draft.bundle.digest,
            "version": draft.bundle.version,
            "passed": passed,
            "trials": [{"engine": t.engine, "vectors": t.vectors, "rule_cases": t.cases} for t in trials],
            "faults": [asdict(fault) for fault in faults],
            "lacks_rules": lacking,
        },
        as_json=as_json,
        line="\n".join(_trial_lines(draft, trials, lacking)),
    )
    if not passed:
        raise typer.Exit(EXIT_REFUSED)


def _trial_lines(draft: Draft, trials: list[Trial], lacking: list[str]) -> Iterator[str]:
    yield f"bundle {draft.bundle.digest} version {draft.bundle.version}"
    for trial in trials:
        what = f"{trial.vectors} vectors" if trial.vectors else f"{trial.cases} cases of tests of rules"
        yield f"{trial.engine}: {what}, {len(trial.faults)} faults"
    faults = [fault for trial in trials for fault in trial.faults]
    if faults:
        widths = [max(len(getattr(f, name)) for f in faults) for name in ("engine", "kind", "name")]
        for fault in faults:
            cells = zip((fault.engine, fault.kind, fault.name), widths, strict=True)
            yield "  ".join([*(cell.ljust(width) for cell, width in cells), fault.detail])
    yield from (f"lacks a rule of the shipped bundle: {rule}" for rule in lacking)


@reporting
def policy_diff(
    before: Annotated[str, typer.Argument(help="Folder of a bundle, or `shipped`.")],
    after: Annotated[str, typer.Argument(help="Folder of another, or `shipped`.")],
    *,
    as_json: Json = False,
) -> None:
    """Compare two bundles: rules, dated numbers, shared files, and golden vectors that get another answer."""
    first, second = draft_named(before), draft_named(after)
    require_same_questions(first)
    require_same_questions(second)
    with EmbeddedEngine(first.bundle) as one, EmbeddedEngine(second.bundle) as other:
        found = difference(first, second, (one, other))
    document: dict[str, Any] = {
        "before": {"bundle": first.bundle.digest, "version": first.bundle.version},
        "after": {"bundle": second.bundle.digest, "version": second.bundle.version},
        "same": found.empty,
        **asdict(found),
    }
    report(document, as_json=as_json, line="\n".join(_difference_lines(found)) or "no difference")


def _difference_lines(found: Difference) -> Iterator[str]:
    for rule in found.rules:
        yield f"rule {rule.point}/{rule.rule}: {rule.change} ({', '.join(rule.parts)})"
        for part in sorted({*(rule.before or {}), *(rule.after or {})}):
            old, new = (rule.before or {}).get(part), (rule.after or {}).get(part)
            if old != new:
                yield f"  {part}: {old} -> {new}"
    for parameter in found.parameters:
        yield from _parameter_lines(parameter)
    yield from (f"file {path}: changed" for path in found.files)
    for vector in found.vectors:
        yield f"vector {vector.name}: {vector.turns}"
        for part in sorted({*vector.before, *vector.after}):
            if vector.before.get(part) != vector.after.get(part):
                yield f"  {part}: {vector.before.get(part)} -> {vector.after.get(part)}"


def _parameter_lines(parameter: ParameterChange) -> Iterator[str]:
    mark = ", unverified" if parameter.confidence == "m" else ""
    yield f"parameter {parameter.name}: {parameter.change} [{parameter.confidence}{mark}]"
    for day, (old, new) in parameter.values.items():
        yield f"  {day}: {old} -> {new}"
    for part, (old, new) in parameter.described.items():
        yield f"  {part}: {old} -> {new}"
