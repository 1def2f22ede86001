"""What ``fleetgate mine`` prints, as JSON and for people, and what of it is registered."""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from importlib.metadata import version
from typing import Any

import rfc8785

from pipeline.artefacts import ArtefactKind, DerivedArtefact
from pipeline.manifest import ReleaseManifest
from pipeline.mining.duplicates import Group
from pipeline.mining.load import LoadedItem
from pipeline.mining.pictures import Picture
from pipeline.mining.selection import Selected
from pipeline.mining.tags import Tag
from pipeline.mining.trigger_file import TriggerFile
from pipeline.mining.triggers import Event, Mined


def triggers_answer(read: TriggerFile) -> dict[str, Any]:
    """A file of triggers."""
    return {
        "version": read.version,
        "sha256": read.digest,
        "max_step_s": read.max_step_s,
        "features": {
            f.name: {"of": f.of.text, "take": f.take, "over_s": f.over_s} for f in read.features.values()
        },
        "triggers": {
            t.name: {
                "version": t.version,
                "priority": t.priority,
                "title": dict(t.title),
                "where": t.where.text,
                "min_duration_s": t.min_duration_s,
                "merge_gap_s": t.merge_gap_s,
            }
            for t in read.triggers.values()
        },
    }


def events_answer(
    manifest: ReleaseManifest,
    read: Iterable[LoadedItem],
    passed_over: Mapping[str, str],
    mined: Mined,
    parameters: Mapping[str, Any],
) -> dict[str, Any]:
    """Events, what they were looked for in, and what they rest on."""
    items = {
        each.item.name: {"sha256": each.item.sha256, "rows": each.rows, "sources": dict(each.sources)}
        for each in read
    }
    return {
        "release": manifest.release,
        "events": [_event(event) for event in mined.events],
        "coverage": {name: {"rows": c.rows, "absent": list(c.absent)} for name, c in mined.coverage.items()},
        "rows": mined.rows,
        "untimed": mined.untimed,
        "passed_over": dict(passed_over),
        "rests_on": _rests_on(manifest, items, parameters),
    }


def pictures_answer(
    manifest: ReleaseManifest,
    pictures: Mapping[str, Picture],
    groups: Iterable[Group],
    selection: Iterable[Selected] | None,
    parameters: Mapping[str, Any],
) -> dict[str, Any]:
    """Pictures with their tags, groups of the same, and what was selected."""
    answer: dict[str, Any] = {
        "release": manifest.release,
        "pictures": {name: _picture(picture) for name, picture in pictures.items()},
        "near_duplicates": [{"kept": g.kept, "others": list(g.others)} for g in groups],
        "passed_over": len(manifest.items) - len(pictures),
        "rests_on": _rests_on(
            manifest, {name: {"sha256": p.item.sha256} for name, p in pictures.items()}, parameters
        ),
    }
    if selection is not None:
        answer["selection"] = [
            {"item": s.name, "stratum": list(s.stratum), "apart": round(s.apart, 4)} for s in selection
        ]
    return answer


def tag_answer(tag: Tag) -> dict[str, Any]:
    """A tag with its source and confidence."""
    return {"name": tag.name, "source": tag.source, "confidence": round(tag.confidence, 4), "by": tag.by}


def artefact_of(kind: ArtefactKind, name: str, answer: Mapping[str, Any]) -> DerivedArtefact:
    """The answer as an artefact to register: its digest is that of its RFC 8785 form."""
    rests = answer["rests_on"]
    return DerivedArtefact(
        kind=kind,
        name=name,
        sha256=sha256(rfc8785.dumps(dict(answer))).hexdigest(),
        code=f"fleetgate {rests['fleetgate']}",
        parameters=rests["parameters"],
        releases=(rests["release"],),
        items=tuple(item["sha256"] for item in rests["items"].values()),
    )


def shown_events(answer: Mapping[str, Any]) -> str:
    """Events for people."""
    lines = [
        f"{e['trigger']:14} {e['severity']:.2f}  {e['begin_s']:9.2f} to {e['end_s']:9.2f} s  "
        f"clip {e['clip']} of {e['item']}"
        for e in answer["events"]
    ]
    for name, coverage in answer["coverage"].items():
        absent = f"; 缺少 / absent: {', '.join(coverage['absent'])}" if coverage["absent"] else ""
        found = sum(e["trigger"] == name for e in answer["events"])
        lines.append(
            f"{name}: {found} 个事件 / events, {coverage['rows']} / {answer['rows']} 行 / rows{absent}"
        )
    lines += [f"未读取 / passed over {name}: {reason}" for name, reason in answer["passed_over"].items()]
    return "\n".join(lines)


def shown_pictures(answer: Mapping[str, Any]) -> str:
    """Pictures for people."""
    lines = [f"{name}  {_tags(picture['tags'])}" for name, picture in answer["pictures"].items()]
    lines += [f"近重复 / same as {g['kept']}: {', '.join(g['others'])}" for g in answer["near_duplicates"]]
    lines += [f"选中 / selected {s['item']}  {' '.join(s['stratum'])}" for s in answer.get("selection", ())]
    pictures, others = len(answer["pictures"]), answer["passed_over"]
    lines.append(f"{pictures} 张图片 / pictures, {others} 个其他文件未读取 / other items passed over")
    return "\n".join(lines)


def shown_results(answer: Mapping[str, Any]) -> str:
    """Results of a search for people."""
    lines = [f"{r['score']:.3f}  {r['item']}  {_tags(r['tags'])}" for r in answer["results"]]
    unread = f"; 未理解 / not understood: {answer['unread']}" if answer.get("unread") else ""
    lines.append(f"{len(answer['results'])} 项 / results, 方式 / by {way_of(answer)}{unread}")
    return "\n".join(lines)


def way_of(answer: Mapping[str, Any]) -> str:
    """Which way a search took; of a network also which and with which weights."""
    model = answer.get("model")
    return str(answer["mode"]) + (f" {model['name']} sha256 {model['sha256']}" if model else "")


def _tags(tags: Iterable[Mapping[str, Any]]) -> str:
    return " ".join(f"{tag['name']}({tag['confidence']:.2f})" for tag in tags)


def _picture(picture: Picture) -> dict[str, Any]:
    look = picture.look
    return {
        "tags": [tag_answer(tag) for tag in picture.tags],
        "brightness": round(look.brightness, 4),
        "sharpness": round(look.sharpness, 2),
        "masked_places": look.masked_places,
        "hash": f"{look.hash:016x}",
    }


def _event(event: Event) -> dict[str, Any]:
    return {
        "trigger": event.trigger,
        "version": event.version,
        "priority": event.priority,
        "item": event.clip.item,
        "clip": event.clip.number,
        "begin_s": round(event.begin_s, 6),
        "end_s": round(event.end_s, 6),
        "worst_s": round(event.worst_s, 6),
        "worst": event.worst,
        "severity": round(event.severity, 4),
        "rows": event.rows,
    }


def _rests_on(
    manifest: ReleaseManifest, items: Mapping[str, Any], parameters: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "release": manifest.release,
        "release_digest": manifest.digest,
        "items": dict(items),
        "parameters": dict(parameters),
        "fleetgate": version("fleetgate"),
    }
