"""The lineage of a release for other systems: W3C PROV-JSON, and an OpenLineage run event."""

import uuid
from collections.abc import Mapping
from typing import Any, Final

_PREFIX: Final = {"fg": "urn:fleetgate:", "prov": "http://www.w3.org/ns/prov#"}
_STAGES: Final = ("received", "classified", "cleansed", "built", "judged")
_PRODUCER: Final = "urn:fleetgate"
_OPENLINEAGE: Final = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"


def prov_of(twin: Mapping[str, Any]) -> dict[str, Any]:
    """PROV-JSON (W3C submission of 2013) of a dossier: items, the release, what made and who answered for it."""
    release = twin["release"]
    whole, publishing = f"fg:release:{release['id']}", f"fg:publish:{release['id']}"
    policy, profile = (
        f"fg:bundle:{twin['decision']['bundle_digest']}",
        f"fg:profile:{release['profile']['digest']}",
    )
    document: dict[str, dict[str, Any]] = {
        "prefix": dict(_PREFIX),
        "entity": {
            whole: {"prov:type": "fg:release", "fg:sha256": release["digest"]},
            policy: {"prov:type": "fg:policy-bundle"},
            profile: {"prov:type": "fg:profile", "fg:name": release["profile"]["name"]},
        },
        "activity": {
            publishing: {
                "prov:type": "fg:publish",
                "prov:startTime": release["requested_at"],
                "prov:endTime": release["released_at"],
            }
        },
        "agent": {},
        "wasGeneratedBy": {"_:g0": {"prov:entity": whole, "prov:activity": publishing}},
        "used": {
            "_:u0": {"prov:activity": publishing, "prov:entity": policy},
            "_:u1": {"prov:activity": publishing, "prov:entity": profile},
        },
        "wasAssociatedWith": {},
        "hadMember": {},
        "wasDerivedFrom": {},
    }
    _people(document, twin, publishing)
    for number, item in enumerate(twin["items"]):
        made = f"fg:item:{item['sha256']}"
        document["entity"][made] = {
            "prov:type": "fg:item",
            "fg:name": item["name"],
            "fg:class": item["class"],
            "fg:level": item["level"],
        }
        document["hadMember"][f"_:m{number}"] = {"prov:collection": whole, "prov:entity": made}
    for number, item in enumerate(twin.get("lineage", ())):
        _derived(document, item, twin, number)
    return {name: members for name, members in document.items() if members}


def _people(document: dict[str, dict[str, Any]], twin: Mapping[str, Any], publishing: str) -> None:
    release = twin["release"]
    people = [(release["submitter"], "fg:submitter"), (release["published_by"], "fg:publisher")]
    people += [(each["approver"], "fg:approver") for each in twin["approvals"]]
    for number, (person, role) in enumerate(people):
        agent = f"fg:person:{person}"
        document["agent"][agent] = {"prov:type": "prov:Person"}
        document["wasAssociatedWith"][f"_:a{number}"] = {
            "prov:activity": publishing,
            "prov:agent": agent,
            "prov:role": role,
        }


def _derived(
    document: dict[str, dict[str, Any]], item: Mapping[str, Any], twin: Mapping[str, Any], number: int
) -> None:
    source = f"fg:source:{item['recording']['item']}"
    recording = f"fg:recording:{item['recording']['id']}"
    made = next(f"fg:item:{each['sha256']}" for each in twin["items"] if each["name"] == item["name"])
    document["entity"][source] = {"prov:type": "fg:original"}
    document["entity"][recording] = {"prov:type": "fg:recording"}
    document["hadMember"][f"_:r{number}"] = {"prov:collection": recording, "prov:entity": source}
    for stage in item["stages"]:
        # What was built and judged is the release as a whole: one activity for all of its items.
        owner = twin["release"]["id"] if stage["stage"] in _STAGES[3:] else item["recording"]["item"]
        activity = f"fg:{stage['stage']}:{owner}"
        document["activity"][activity] = {
            "prov:type": f"fg:{stage['stage']}",
            "prov:endTime": stage["at"],
            "fg:evidence": stage["evidence"],
            "fg:entry": stage["entry"],
        }
        link = f"_:u-{number}-{stage['stage']}"
        document["used"][link] = {"prov:activity": activity, "prov:entity": source}
    document["wasDerivedFrom"][f"_:d{number}"] = {
        "prov:generatedEntity": made,
        "prov:usedEntity": source,
        "prov:activity": f"fg:built:{twin['release']['id']}",
    }


def openlineage_of(twin: Mapping[str, Any]) -> dict[str, Any]:
    """One completed OpenLineage run: source items in, released items out."""
    release = twin["release"]
    origin = twin["checkpoint"]["origin"]
    return {
        "eventType": "COMPLETE",
        "eventTime": release["released_at"],
        "producer": _PRODUCER,
        "schemaURL": _OPENLINEAGE,
        "run": {"runId": str(uuid.uuid5(uuid.NAMESPACE_URL, f"urn:fleetgate:release:{release['id']}"))},
        "job": {"namespace": f"fleetgate://{origin}", "name": f"release.{release['purpose']}"},
        "inputs": [
            {
                "namespace": f"fleetgate://{origin}/recordings/{item['recording']['id']}",
                "name": item["recording"]["item"],
            }
            for item in twin.get("lineage", ())
        ],
        "outputs": [
            {"namespace": f"fleetgate://{origin}/releases/{release['id']}", "name": item["name"]}
            for item in twin["items"]
        ],
    }
