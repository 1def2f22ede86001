"""Renderings: what OCSF, ECS, CEF, CSV and Parquet must have, and that each entry in them is proved."""

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from audit import verify
from audit.checkpoint import CheckpointSigner
from audit.events import Event, EventType, Outcome
from audit.ledger import Ledger
from audit.query import EntryFilter
from audit.renderings.cef import cef_line
from audit.renderings.export import Rendering, render_ledger
from audit.renderings.proved import COLUMNS, OTHER, Proved, activity_of
from audit.verify_rendering import main, verify_rendering

TEXTUAL = [Rendering.OCSF, Rendering.ECS, Rendering.CEF, Rendering.CSV]

API_ACTIVITY = {
    "type": "object",
    "required": [
        "activity_id",
        "actor",
        "api",
        "category_uid",
        "class_uid",
        "metadata",
        "severity_id",
        "src_endpoint",
        "time",
        "type_uid",
    ],
    "properties": {
        "activity_id": {"enum": [0, 1, 2, 3, 4, 99]},
        "actor": {"type": "object", "minProperties": 1},
        "api": {"type": "object", "required": ["operation"]},
        "category_uid": {"const": 6},
        "class_uid": {"const": 6003},
        "metadata": {
            "type": "object",
            "required": ["product", "version"],
            "properties": {"product": {"required": ["vendor_name"]}, "version": {"const": "1.3.0"}},
        },
        "severity_id": {"enum": [0, 1, 2, 3, 4, 5, 6, 99]},
        "src_endpoint": {"type": "object", "minProperties": 1},
        "status_id": {"enum": [0, 1, 2, 99]},
        "time": {"type": "integer", "minimum": 1_500_000_000_000},
        "type_uid": {"enum": [600300, 600301, 600302, 600303, 600304, 600399]},
    },
}
"""What OCSF 1.3.0 requires of its class API Activity (6003)."""

ECS_ALLOWED = {
    "kind": {"alert", "asset", "enrichment", "event", "metric", "state", "pipeline_error", "signal"},
    "category": {"authentication", "configuration", "database", "file", "iam", "process", "web"},
    "type": {"access", "allowed", "change", "creation", "deletion", "denied", "info", "start", "end"},
    "outcome": {"success", "failure", "unknown"},
}
"""Values of ECS 8.11 among which ours must be."""


@pytest.fixture
def filled(sqlite_ledger: Ledger, make_event: Callable[..., Event]) -> Ledger:
    """Every type of act, every outcome, every field."""
    for number, kind in enumerate(EventType):
        opened = make_event(type=kind, outcome=Outcome.INTENT, actor=f"=actor-{number}", object="o(b)=c")
        receipt = sqlite_ledger.append(opened, detail="名字".encode(), subject="s-1")
        outcome = (Outcome.COMPLETED, Outcome.REFUSED, Outcome.FAILED)[number % 3]
        sqlite_ledger.append(
            make_event(
                type=kind,
                outcome=outcome,
                intent=receipt.index,
                recording="r-1",
                item="i-1",
                release="rel-1",
                grant="g-1",
                vehicle="v-1",
                recipient="team",
                purpose="training",
                rule="release/x",
                digests={"content": "ab" * 32},
                facts={"entries": number, "complete": True, "word": "a=b"},
            )
        )
    return sqlite_ledger


def rendered(ledger: Ledger, path: Path, rendering: Rendering) -> list[str]:
    render_ledger(ledger, path, rendering, note=ledger.checkpoint())
    return path.read_text("utf-8").splitlines()


def test_ocsf_has_what_its_class_requires(filled: Ledger, tmp_path: Path) -> None:
    events = [json.loads(line) for line in rendered(filled, tmp_path / "x", Rendering.OCSF)]
    assert len(events) == filled.size
    for event, entry in zip(events, filled.entries(), strict=True):
        jsonschema.validate(event, API_ACTIVITY)
        assert event["type_uid"] == 600300 + event["activity_id"]
        assert event["time"] == int(entry.time.timestamp() * 1000)
        assert event["status_id"] == {"intent": 99, "completed": 1}.get(entry.event.outcome.value, 2)


def test_ecs_uses_allowed_values_only(filled: Ledger, tmp_path: Path) -> None:
    for line in rendered(filled, tmp_path / "x", Rendering.ECS):
        event = json.loads(line)["event"]
        assert event["kind"] in ECS_ALLOWED["kind"]
        assert set(event["category"]) <= ECS_ALLOWED["category"]
        assert set(event["type"]) <= ECS_ALLOWED["type"]
        assert event["outcome"] in ECS_ALLOWED["outcome"]


def test_a_read_a_refusal_and_an_erasure_are_told_apart() -> None:
    assert activity_of(EventType.SERVE_ITEM_READ) == 2
    assert activity_of(EventType.ERASE_RECORDING_ERASE) == 4
    assert activity_of(EventType.APPROVE_RELEASE_SIGN) == OTHER


def test_cef_lines_have_seven_headers_and_escape_their_values(filled: Ledger, tmp_path: Path) -> None:
    lines = rendered(filled, tmp_path / "x", Rendering.CEF)
    assert len(lines) == filled.size
    for line in lines:
        assert re.match(
            r"<\d{1,3}>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z \S+ fleetgate - ledger - CEF:1\|", line
        )
        assert len(re.findall(r"(?<!\\)\|", line.split(" - CEF:", 1)[1].split("|rt=")[0])) == 6
    assert r"suid=\=actor-0 fileId=o(b)\=c" in lines[0]


def test_a_name_that_would_break_out_of_a_cef_header_stays_in_it(filled: Ledger) -> None:
    with filled.snapshot() as snapshot:
        proved = Proved(entry=snapshot.entry(0), proof=(), size=1, origin="x y")
    assert cef_line(proved).split(" ")[2] == "x-y"


def test_csv_and_parquet_hold_every_column_of_every_entry(filled: Ledger, tmp_path: Path) -> None:
    polars = pytest.importorskip("polars")
    rendered(filled, tmp_path / "x.csv", Rendering.CSV)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "x.csv").read_text("utf-8"), newline="")))
    render_ledger(filled, tmp_path / "x.parquet", Rendering.PARQUET, note=filled.checkpoint())
    table = polars.read_parquet(tmp_path / "x.parquet")
    assert table.columns == list(COLUMNS) == list(rows[0])
    assert table.height == len(rows) == filled.size
    for row, other, entry in zip(rows, table.iter_rows(named=True), filled.entries(), strict=True):
        assert {n: "" if v is None else str(v) for n, v in other.items()} == row
        assert (row["actor"], row["type"]) == (entry.event.actor, entry.event.type.value)
        assert row["detail"] == (entry.detail or "")
    assert rows[1]["facts"] == "complete=true entries=0 word=a=b"
    assert rows[1]["digests"] == f"content={'ab' * 32}"


@pytest.mark.parametrize("rendering", TEXTUAL)
def test_every_entry_of_a_rendering_is_proved(
    filled: Ledger, tmp_path: Path, signer: CheckpointSigner, rendering: Rendering
) -> None:
    path = tmp_path / "rendered"
    rendered(filled, path, rendering)
    note = path.with_name("rendered.checkpoint").read_text("utf-8")
    with path.open(encoding="utf-8", newline="") as stream:
        assert verify_rendering(stream, note, signer.vkey) == filled.size


@pytest.mark.parametrize("rendering", TEXTUAL)
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("=actor-7", "=actor-8"),
        ("actor-7", "actor-8"),
        ("o(b)", "o(d)"),
        ("cleanse:item:cleanse", "cleanse:item:hold"),
        ("refused", "completed"),
    ],
)
def test_a_changed_rendering_is_found_out(
    filled: Ledger, tmp_path: Path, signer: CheckpointSigner, rendering: Rendering, old: str, new: str
) -> None:
    path = tmp_path / "rendered"
    rendered(filled, path, rendering)
    note = path.with_name("rendered.checkpoint").read_text("utf-8")
    changed = path.read_text("utf-8").replace(old, new, 1)
    if changed == path.read_text("utf-8"):
        pytest.skip(f"{rendering.value} spells {old!r} in another way")
    with pytest.raises(verify.BadExportError):
        verify_rendering(io.StringIO(changed, newline=""), note, signer.vkey)


@pytest.mark.parametrize("rendering", list(Rendering))
def test_a_filtered_rendering_holds_what_matches(
    filled: Ledger, tmp_path: Path, rendering: Rendering
) -> None:
    wanted = EntryFilter(outcome=Outcome.REFUSED)
    expected = sum(entry.event.outcome is Outcome.REFUSED for entry in filled.entries())
    path = tmp_path / "rendered"
    assert render_ledger(filled, path, rendering, note=filled.checkpoint(), wanted=wanted) == expected
    with pytest.raises(FileExistsError):
        render_ledger(filled, path, rendering, note=filled.checkpoint(), wanted=wanted)


def test_the_command_runs_alone_beside_its_sibling(
    filled: Ledger, tmp_path: Path, signer: CheckpointSigner
) -> None:
    """Copied elsewhere, with nothing of the house but the two files."""
    rendered(filled, tmp_path / "x.jsonl", Rendering.OCSF)
    alone = tmp_path / "alone"
    alone.mkdir()
    for module in ("verify", "verify_rendering"):
        source = Path(verify.__file__).with_name(f"{module}.py")
        (alone / f"{module}.py").write_bytes(source.read_bytes())
    command = [
        sys.executable,
        "-I",
        "-c",
        _ALONE,
        str(alone),
        str(tmp_path / "x.jsonl"),
        "--vkey",
        signer.vkey,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (our own command)
    assert (done.returncode, done.stdout) == (0, f"OK {filled.size} entries\n"), done


_ALONE = """
import sys
from importlib.abc import MetaPathFinder

class Refuse(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] in {"audit", "gateway", "anonymize", "policies", "pipeline"}:
            raise ImportError(name)

sys.meta_path.insert(0, Refuse())
sys.path.insert(0, sys.argv[1])
import verify_rendering
sys.exit(verify_rendering.main(sys.argv[2:]))
"""


def test_the_command_tells_what_is_wrong(
    filled: Ledger, tmp_path: Path, signer: CheckpointSigner, capsys: pytest.CaptureFixture[str]
) -> None:
    rendered(filled, tmp_path / "x", Rendering.CSV)
    assert main([str(tmp_path / "x"), "--vkey", signer.vkey]) == 0
    stranger = CheckpointSigner(b"s" * 32, signer.origin).vkey
    assert main([str(tmp_path / "x"), "--vkey", stranger]) == 1
    assert "BAD checkpoint" in capsys.readouterr().out
    assert main([str(tmp_path / "missing"), "--vkey", signer.vkey]) == 2
    assert main([str(tmp_path / "x"), "--vkey", "nonsense"]) == 2
