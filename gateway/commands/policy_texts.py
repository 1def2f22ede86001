"""What people read of explained and simulated decisions, in Chinese and English."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from gateway.review.simulated import Simulation

_KEPT = {
    "kept": ("", ""),
    "digest_only": ("未保存问题内容", "the question was not kept, only its digest"),
    "erased": ("问题内容已随密钥销毁", "the question is erased: its key was destroyed"),
    "lost": ("账本所证问题未存储", "the ledger attests a question that is not stored"),
}


def explanation_lines(decision: Mapping[str, Any]) -> Iterator[str]:
    """A decision for people to read, in Chinese and English."""
    verdict = "拒绝 denied" if not decision["allowed"] else "允许 allowed"
    if decision["allowed"] and decision["refused"]:
        verdict = f"{verdict}, 未执行 refused for duties {', '.join(decision['unmet'])}"
    yield f"entry {decision['index']} {decision['time']} {decision['point']} {decision['about']}: {verdict}"
    yield f"  bundle {decision['bundle']} version {decision['bundle_version'] or 'not kept here'}"
    if zh_en := [text for text in _KEPT[decision["question"]] if text]:
        yield f"  {' / '.join(zh_en)}"
    for denial in decision["denied_by"]:
        yield from _denial_lines(denial)
    passed = [f"{each['rule']} ({each.get('number', '?')})" for each in decision.get("passed", [])]
    if passed:
        yield f"  通过 passed: {', '.join(passed)}"
    for duty in decision.get("obligations", []):
        yield f"  义务 duty: {duty['kind']} {json.dumps(duty['parameters'], ensure_ascii=False)}"
    if decision.get("unverified"):
        yield f"  未核实 unverified: {', '.join(decision['unverified'])}"


def _denial_lines(denial: Mapping[str, Any]) -> Iterator[str]:
    mark = ", 未核实 unverified" if denial["unverified"] else ""
    number, clause, confidence = (denial.get(name, "?") for name in ("number", "clause", "confidence"))
    yield f"  {denial['rule']}: 规则 rule {number}, {clause} [{confidence}{mark}]"
    if "text_zh" in denial:
        yield f"    {denial['text_zh']} / {denial['text_en']}"
    for fact in denial["facts"]:
        yield f"    事实 fact: {json.dumps(fact, ensure_ascii=False)}"
    for limit in denial.get("limits", []):
        value = json.dumps(limit["value"], ensure_ascii=False)
        yield (
            f"    限值 limit: {limit['parameter']} = {value} {limit['unit']} since {limit['since']} "
            f"[{limit['confidence']}] {limit['source']}"
        )
    would = denial.get("would_pass_with")
    for change in would or []:
        stated, value = (_shortened(change[name]) for name in ("stated", "passes_with"))
        yield f"    须改变 would pass, for example, with {change['fact']}: {value} (stated {stated})"
    if would == []:
        yield "    须改变 no single fact would do; leave out what fails / 单改一项事实不足，请剔除不合格数据"


def _shortened(value: object, most: int = 120) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= most else f"{text[:most]}…"


def simulation_document(run: Simulation, digest: str) -> dict[str, Any]:
    """A simulation as one JSON document."""
    turns = [result.turns for result in run.results]
    counts = {name: turns.count(name) for name in ("refused", "allowed", "same", "not_asked")}
    return {
        "bundle": digest,
        "as_of": run.day,
        "decisions": len(run.results),
        **counts,
        "complete": run.complete,
        "next_before": run.next_before,
        "results": [{**asdict(result), "turns": result.turns} for result in run.results],
    }


def simulation_lines(run: Simulation) -> Iterator[str]:
    """A simulation for people to read."""
    turns = [result.turns for result in run.results]
    yield (
        f"{len(turns)} decisions, numbers as of {run.day}: {turns.count('refused')} would now be refused, "
        f"{turns.count('allowed')} now allowed, {turns.count('same')} the same, "
        f"{turns.count('not_asked')} could not be asked"
    )
    for result in run.results:
        if result.turns == "not_asked":
            yield f"  entry {result.index} {result.about}: {result.error or result.kept}"
        elif result.turns != "same":
            yield f"  entry {result.index} {result.about}: {result.turns}"
            for rule in result.rules:
                yield f"    {rule['rule']} (rule {rule['number']}, {rule['clause']})"
                yield f"      {rule['text_zh']} / {rule['text_en']}"
                for fact in rule["facts"]:
                    yield f"      {_shortened(fact, 400)}"
        elif result.duties:
            yield f"  entry {result.index} {result.about}: new duties {', '.join(result.duties)}"
    if not run.complete:
        yield f"interrupted; go on with --before {run.next_before}"
