"""Vehicle manifests: every bad input is a clear error that names the field, and nothing else is one."""

import copy
import json
import time
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc.jwk import OKPKey

from gateway.errors import GatewayError
from gateway.vault.jws import sign_statement
from gateway.vehicles.errors import ManifestError
from gateway.vehicles.manifest import (
    MANIFEST_TYP,
    MAX_ITEM_SIZE,
    MAX_ITEMS,
    Manifest,
    ManifestItem,
    parse_manifest,
    read_manifest,
    sign_manifest,
)

KEY = OKPKey.generate_key("Ed25519")


def item(name: str = "image/000001.jpg", **changes: Any) -> dict[str, Any]:
    captured_at = "2026-05-01T08:00:01.25+08:00"
    return {"name": name, "size": 1234, "sha256": "ab" * 32, "captured_at": captured_at, **changes}


def payload(**changes: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "vehicle": "vehicle-7",
        "recording": "0b6cf29c-3f5e-4f0e-9d7e-3d1f2a4b5c6d",
        "started_at": "2026-05-01T08:00:00+08:00",
        "ended_at": "2026-05-01T00:30:00Z",
        "region": "110108",
        "crs": "EPSG:4326",
        "collection": {"cabin": False, "audio": False},
        "items": [item(), item("track.gpx", captured_at=None)],
        **changes,
    }


def without(field: str) -> dict[str, Any]:
    changed = payload()
    del changed[field]
    return changed


def with_item(**changes: Any) -> dict[str, Any]:
    return payload(items=[item("first"), item(**changes)])


def item_without(field: str) -> dict[str, Any]:
    bad = item()
    del bad[field]
    return payload(items=[bad])


def test_a_good_manifest_parses_with_times_in_utc():
    manifest = parse_manifest(payload())

    assert manifest.started_at == datetime(2026, 5, 1, 0, 0, tzinfo=UTC)
    assert manifest.started_at.tzinfo is UTC
    assert manifest.items[0].captured_at == datetime(2026, 5, 1, 0, 0, 1, 250_000, tzinfo=UTC)
    assert manifest.items[1] == ManifestItem(name="track.gpx", size=1234, sha256="ab" * 32, captured_at=None)
    assert (manifest.cabin, manifest.audio) == (False, False)
    assert parse_manifest(manifest.payload()) == manifest


def test_recorded_cabin_and_audio_are_facts_not_errors():
    manifest = parse_manifest(payload(collection={"cabin": True, "audio": True}))

    assert (manifest.cabin, manifest.audio) == (True, True)


BAD: dict[str, tuple[Callable[[], Any], str, str]] = {
    "not an object": (list, "manifest", "[]"),
    "no items field": (lambda: without("items"), "manifest", "version"),
    "no crs": (lambda: without("crs"), "manifest", "vehicle"),
    "unknown field": (lambda: payload(colour="red"), "manifest", "colour"),
    "version 2": (lambda: payload(version=2), "version", "2"),
    "version true": (lambda: payload(version=True), "version", "True"),
    "vehicle is a path": (lambda: payload(vehicle="../x"), "vehicle", "../x"),
    "vehicle ends in a newline": (lambda: payload(vehicle="v\n"), "vehicle", r"v\n"),
    "vehicle is empty": (lambda: payload(vehicle=""), "vehicle", "''"),
    "recording is no UUID": (lambda: payload(recording="drive-1"), "recording", "drive-1"),
    "recording in upper case": (
        lambda: payload(recording=payload()["recording"].upper()),
        "recording",
        "0B6CF29C",
    ),
    "naive start": (lambda: payload(started_at="2026-05-01T08:00:00"), "started_at", "2026-05-01T08:00:00"),
    "start is a number": (lambda: payload(started_at=1_777_000_000), "started_at", "1777000000"),
    "start on 30 February": (lambda: payload(started_at="2026-02-30T08:00:00Z"), "started_at", "2026-02-30"),
    "start before year 1": (lambda: payload(started_at="0001-01-01T00:00:00+08:00"), "started_at", "0001"),
    "start in other digits": (
        lambda: payload(started_at="٢٠٢٦-05-01T08:00:00Z"),
        "started_at",
        "\\u0662",
    ),
    "end before start": (lambda: payload(ended_at="2026-05-01T07:59:59+08:00"), "ended_at", "07:59:59"),
    "region of 5 digits": (lambda: payload(region="11010"), "region", "11010"),
    "region as a number": (lambda: payload(region=110108), "region", "110108"),
    "region in other digits": (lambda: payload(region="١١٠١٠٨"), "region", "\\u0661"),
    "crs with spaces": (lambda: payload(crs="EPSG 4326"), "crs", "EPSG 4326"),
    "crs is null": (lambda: payload(crs=None), "crs", "None"),
    "collection lacks audio": (lambda: payload(collection={"cabin": False}), "collection", "cabin"),
    "cabin as text": (lambda: payload(collection={"cabin": "no", "audio": False}), "collection.cabin", "no"),
    "collection has more": (
        lambda: payload(collection={"cabin": False, "audio": False, "x": 1}),
        "collection",
        "'x'",
    ),
    "no items": (lambda: payload(items=[]), "items", "0 entries"),
    "items is an object": (lambda: payload(items={}), "items", "{}"),
    "too many items": (lambda: payload(items=[None] * (MAX_ITEMS + 1)), "items", "100001 entries"),
    "item is text": (lambda: payload(items=["x"]), "items[0]", "'x'"),
    "item lacks digest": (lambda: item_without("sha256"), "items[0]", "captured_at"),
    "item has a position": (lambda: with_item(position=[1, 2]), "items[1]", "position"),
    "negative size": (lambda: with_item(size=-1), "items[1].size", "-1"),
    "huge size": (lambda: with_item(size=MAX_ITEM_SIZE + 1), "items[1].size", "1099511627777"),
    "size as text": (lambda: with_item(size="12"), "items[1].size", "'12'"),
    "size as fraction": (lambda: with_item(size=1.0), "items[1].size", "1.0"),
    "size as truth": (lambda: with_item(size=True), "items[1].size", "True"),
    "digest in upper case": (lambda: with_item(sha256="AB" * 32), "items[1].sha256", "ABAB"),
    "digest too short": (lambda: with_item(sha256="ab" * 31), "items[1].sha256", "abab"),
    "digest no hex": (lambda: with_item(sha256="zz" * 32), "items[1].sha256", "zz"),
    "digest with newline": (lambda: with_item(sha256="ab" * 32 + "\n"), "items[1].sha256", "ab"),
    "digest is null": (lambda: with_item(sha256=None), "items[1].sha256", "None"),
    "naive capture": (
        lambda: with_item(captured_at="2026-05-01T08:00:00"),
        "items[1].captured_at",
        "2026-05",
    ),
    "capture is a number": (lambda: with_item(captured_at=5), "items[1].captured_at", "5"),
    "name is a number": (lambda: with_item(name=5), "items[1].name", "5"),
    "empty name": (lambda: with_item(name=""), "items[1].name", "''"),
    "absolute name": (lambda: with_item(name="/etc/passwd"), "items[1].name", "/etc/passwd"),
    "name climbs": (lambda: with_item(name="a/../../b"), "items[1].name", "a/../../b"),
    "name is a dot": (lambda: with_item(name="./a"), "items[1].name", "./a"),
    "name with backslash": (lambda: with_item(name="a\\b"), "items[1].name", "a\\\\b"),
    "name with drive": (lambda: with_item(name="C:/a"), "items[1].name", "C:/a"),
    "name with NUL": (lambda: with_item(name="a\x00.jpg"), "items[1].name", "\\x00"),
    "name with newline": (lambda: with_item(name="a\nb"), "items[1].name", "a\\nb"),
    "name reversed": (lambda: with_item(name="a\u202egpj.exe"), "items[1].name", "\\u202e"),
    "name with lone surrogate": (lambda: with_item(name="a\ud800"), "items[1].name", "\\ud800"),
    "name too long": (lambda: with_item(name="a" * 256), "items[1].name", "aaa"),
    "same name": (lambda: with_item(name="first"), "items[1].name", "first"),
    "same name in other case": (lambda: with_item(name="FIRST"), "items[1].name", "FIRST"),
    "same name by sharp s": (
        lambda: payload(items=[item("Straße.jpg"), item("STRASSE.jpg")]),
        "items[1].name",
        "STRASSE",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_manifest_is_refused_naming_field_and_value(case: str):
    build, field, value = BAD[case]

    with pytest.raises(ManifestError) as caught:
        parse_manifest(build())

    assert caught.value.field == field
    assert str(caught.value).startswith(f"{field} (got ")
    assert value in str(caught.value)
    assert isinstance(caught.value, GatewayError)


def test_a_name_outside_normal_form_c_cannot_pass_for_another():
    decomposed = unicodedata.normalize("NFD", "über.jpg")

    with pytest.raises(ManifestError, match="name"):
        parse_manifest(payload(items=[item("über.jpg"), item(decomposed)]))


def test_a_long_value_is_cut_in_the_message():
    with pytest.raises(ManifestError) as caught:
        parse_manifest(payload(region="9" * 10_000))

    assert len(str(caught.value)) < 400


def test_a_manifest_of_the_greatest_length_parses_in_seconds():
    items = [item(f"image/{i:06d}.jpg") for i in range(MAX_ITEMS)]

    begin = time.process_time()
    manifest = parse_manifest(payload(items=items))

    assert len(manifest.items) == MAX_ITEMS
    assert time.process_time() - begin < 20


def test_a_signed_manifest_reads_back():
    manifest = parse_manifest(payload())

    assert read_manifest(sign_manifest(manifest, KEY), KEY) == manifest


def test_signing_twice_gives_the_same_statement():
    manifest = parse_manifest(payload())

    assert sign_manifest(manifest, KEY) == sign_manifest(manifest, KEY)


def test_a_manifest_of_many_items_can_be_signed():
    manifest = parse_manifest(payload(items=[item(f"image/{i:06d}.jpg") for i in range(5_000)]))

    assert read_manifest(sign_manifest(manifest, KEY), KEY) == manifest


def test_a_manifest_that_breaks_the_rules_cannot_be_signed():
    manifest = parse_manifest(payload())
    reversed_ = Manifest(
        vehicle=manifest.vehicle,
        recording=manifest.recording,
        started_at=manifest.ended_at,
        ended_at=manifest.started_at,
        region=manifest.region,
        crs=manifest.crs,
        cabin=False,
        audio=False,
        items=manifest.items,
    )

    with pytest.raises(ManifestError, match="ended_at"):
        sign_manifest(reversed_, KEY)


def test_another_key_or_type_or_altered_bytes_are_refused():
    statement = sign_manifest(parse_manifest(payload()), KEY)
    head, body, signature = statement.split(".")
    altered = sign_manifest(parse_manifest(payload(region="310101")), KEY).split(".")[1]
    cases = {
        "other key": (statement, OKPKey.generate_key("Ed25519")),
        "other type": (sign_statement(KEY, "fleetgate-release+jwt", "v", payload()), KEY),
        "altered": (f"{head}.{altered}.{signature}", KEY),
        "truncated": (f"{head}.{body}", KEY),
        "empty": ("", KEY),
    }

    for name, (attempt, key) in cases.items():
        with pytest.raises(ManifestError) as caught:
            read_manifest(attempt, key)
        assert caught.value.field == "manifest", name


def test_a_signed_but_malformed_manifest_is_refused():
    statement = sign_statement(KEY, MANIFEST_TYP, "vehicle-7", payload(items=[]))

    with pytest.raises(ManifestError, match="items"):
        read_manifest(statement, KEY)


def parsed(value: Any) -> Manifest | None:
    try:
        return parse_manifest(value)
    except ManifestError:
        return None


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=8), children, max_size=3)
    ),
    max_leaves=8,
)


@given(JSON_VALUES)
@settings(max_examples=150)
def test_whatever_json_is_given_it_parses_or_is_a_manifest_error(value: Any):
    with pytest.raises(ManifestError):
        parse_manifest(value)


@given(st.data())
@settings(max_examples=250)
def test_one_changed_field_parses_or_is_a_manifest_error(data: st.DataObject):
    changed = copy.deepcopy(payload())
    holder = data.draw(st.sampled_from([changed, changed["items"][0], changed["collection"]]))
    holder[data.draw(st.sampled_from(sorted(holder)) | st.text(max_size=6))] = data.draw(JSON_VALUES)

    manifest = parsed(changed)

    if manifest is not None:
        assert parse_manifest(json.loads(json.dumps(manifest.payload()))) == manifest


@given(
    st.lists(
        st.builds(
            item,
            name=st.text(st.characters(codec="utf-8", categories=["L", "N"]), min_size=1, max_size=20),
            size=st.integers(0, MAX_ITEM_SIZE),
            captured_at=st.none()
            | st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2200, 1, 1)).map(  # noqa: DTZ001
                lambda t: t.replace(tzinfo=UTC).isoformat()
            ),
        ),
        min_size=1,
        max_size=5,
    )
)
@settings(max_examples=60)
def test_what_parses_signs_and_reads_back(items: list[dict[str, Any]]):
    manifest = parsed(payload(items=items))

    if manifest is not None:
        assert read_manifest(sign_manifest(manifest, KEY), KEY) == manifest
