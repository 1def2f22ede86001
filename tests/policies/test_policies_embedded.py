"""The embedded engine from many threads, with broken rules, and closed."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from policies.bundle import Bundle, bundle_of
from policies.embedded import EmbeddedEngine, merged, modules_by_point
from policies.errors import EngineError
from policies.vectors import Vector


def test_every_golden_vector_is_answered_as_recorded(
    embedded: EmbeddedEngine, vectors: tuple[Vector, ...]
) -> None:
    assert [found for v in vectors if (found := v.mismatch(embedded.decide(v.question)))] == []


def test_it_judges_from_any_thread(embedded: EmbeddedEngine, vectors: tuple[Vector, ...]) -> None:
    expected = [embedded.decide(vector.question) for vector in vectors]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda vector: embedded.decide(vector.question), vectors)) == expected


def test_two_engines_of_two_bundles_live_side_by_side(bundle: Bundle, vectors: tuple[Vector, ...]) -> None:
    other = bundle_of(bundle.files | {"data/approval.yaml": bundle.files["data/approval.yaml"] + b"\n"})
    with EmbeddedEngine(bundle) as one, EmbeddedEngine(other) as two:
        assert one.decide(vectors[0].question).allowed
        assert not two.decide(vectors[0].question).allowed
        assert one.decide(vectors[0].question).allowed


def test_a_closed_engine_refuses(bundle: Bundle, vectors: tuple[Vector, ...]) -> None:
    """Law 5: no engine, no decision."""
    with EmbeddedEngine(bundle) as engine:
        pass
    with pytest.raises(EngineError, match="closed"):
        engine.decide(vectors[0].question)
    refused: list[EngineError] = []

    def ask() -> None:
        try:
            engine.decide(vectors[0].question)
        except EngineError as error:
            refused.append(error)

    other = threading.Thread(target=ask)
    other.start()
    other.join()
    assert len(refused) == 1


def test_threads_come_and_go(embedded: EmbeddedEngine, vectors: tuple[Vector, ...]) -> None:
    """An interpreter dies with its thread; its errors may be seen by another one."""
    for _ in range(3):
        with ThreadPoolExecutor(2) as threads:
            assert threads.submit(embedded.decide, vectors[0].question).result().allowed


@pytest.mark.parametrize(
    "source",
    [b"package fleetgate.serve\n\npassed contains", b"allow := true\n", b""],
)
def test_a_rule_that_does_not_compile_stops_the_engine(
    bundle: Bundle, vectors: tuple[Vector, ...], source: bytes
) -> None:
    broken = bundle_of(bundle.files | {"rules/serve/broken/rule.rego": source})
    with pytest.raises(EngineError, match="regorus failed"):
        _judge(broken, vectors)


def _judge(bundle: Bundle, vectors: tuple[Vector, ...]) -> None:
    with EmbeddedEngine(bundle) as engine:
        for vector in vectors:
            engine.decide(vector.question)


@pytest.mark.parametrize(
    ("decision", "expected"),
    [
        ("package fleetgate.serve\n\ndecision := true\n", "no decision"),
        ('package fleetgate.serve\n\ndecision := {"allow": true}\n', "no decision"),
        ("package fleetgate.serve\n\ndecision := 1 if input.nothing\n", "no decision"),
        ("package fleetgate.serve\n\nother := 1\n", "regorus failed: not a valid rule path"),
        ("package fleetgate.serve\n\ndecision := 1\n\ndecision := 2\n", "regorus failed"),
    ],
)
def test_an_undefined_or_malformed_answer_is_an_error(
    bundle: Bundle, vectors: tuple[Vector, ...], decision: str, expected: str
) -> None:
    """Law 5: an engine that knows no answer does not allow."""
    files = {path: content for path, content in bundle.files.items() if not path.startswith("rules/serve/")}
    broken = bundle_of(files | {"rules/serve/decision.rego": decision.encode()})
    question = next(vector.question for vector in vectors if vector.question.point == "serve")
    with EmbeddedEngine(broken) as engine, pytest.raises(EngineError, match=expected):
        engine.decide(question)


CROSSING = {
    "another point's rule": (
        "rules/release/a/rule.rego",
        "package fleetgate.release\n\na := data.fleetgate.serve.allow\n",
    ),
    "another point's package": ("rules/release/a/rule.rego", "package fleetgate.serve\n\na := 1\n"),
    "a package of its own": ("rules/release/a/rule.rego", "package other\n\na := 1\n"),
    "any rule, by name": (
        "rules/release/a/rule.rego",
        'package fleetgate.release\n\na := data["fleetgate"].serve\n',
    ),
    "any point, by name": ("rules/lib/a.rego", "package fleetgate.lib\n\na(x) := data.fleetgate[x]\n"),
    "a point, from elsewhere": ("rules/more/a.rego", "package more\n\na := data.fleetgate.serve.allow\n"),
}


@pytest.mark.parametrize("case", CROSSING)
def test_a_bundle_whose_points_know_each_other_is_loaded_whole(bundle: Bundle, case: str) -> None:
    """Law 5: what an interpreter does not hold would be undefined, where OPA finds it."""
    own = modules_by_point(bundle)
    assert {len(modules) < len(bundle.modules()) for modules in own.values()} == {True}
    assert set().union(*map(set, own.values())) == set(bundle.modules().items())
    path, source = CROSSING[case]
    crossing = bundle_of(bundle.files | {path: source.encode()})
    for modules in modules_by_point(crossing).values():
        assert dict(modules) == crossing.modules()


def test_a_module_from_elsewhere_that_names_no_point_is_loaded_for_each(bundle: Bundle) -> None:
    path = "rules/more/a.rego"
    more = bundle_of(bundle.files | {path: b"package more\n\na := data.law.approval\n"})
    assert all(path in dict(modules) for modules in modules_by_point(more).values())
    assert len(modules_by_point(more)["log"]) == len(modules_by_point(bundle)["log"]) + 1


def test_files_of_one_package_and_the_same_imports_are_loaded_as_one(bundle: Bundle) -> None:
    for modules in modules_by_point(bundle).values():
        assert len(merged(modules)) < len(modules) / 2
    apart = [
        ("rules/a.rego", "# first\npackage a\n\nimport data.x\n\n# METADATA\n# title: A\np := x.y\n"),
        ("rules/b.rego", "package a\n\nimport data.x\nq := p\n"),
        ("rules/c.rego", "package a\n\nx := 1\n"),
    ]
    (_, together), (_, alone) = merged(apart)
    assert together.split() == ["package", "a", "import", "data.x", "p", ":=", "x.y", "q", ":=", "p"]
    assert alone.split() == ["package", "a", "x", ":=", "1"]


@pytest.mark.parametrize(
    "source", ["package a\n\np := 1\n\nimport data.x\n", "p := `\npackage b\n`\n", "package a p := 1\n"]
)
def test_modules_that_cannot_be_read_by_their_head_are_loaded_as_they_are(source: str) -> None:
    modules = [("rules/a.rego", "package a\n\nq := 1\n"), ("rules/b.rego", source)]
    assert merged(modules) == modules


def test_a_module_that_does_not_compile_is_named(bundle: Bundle) -> None:
    path = "rules/serve/wrong/rule.rego"
    wrong = bundle_of(bundle.files | {path: b"package fleetgate.serve\n\nwrong := {\n"})
    with pytest.raises(EngineError, match=path):
        EmbeddedEngine(wrong)
