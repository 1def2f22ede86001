"""Run every benchmark of this folder and print one table of ratios against their targets.

    python benchmarks/run.py [--quick] [--only NAME …] [--data DIR] [--opa PATH] [--out FILE]

Each benchmark is a process of its own that prints JSON; what it needs and does not find (real photographs, the OPA
binary) is skipped with the reason. ``--quick`` takes small inputs and few rounds: enough to see that everything
runs, too little to quote. ``--out`` writes the table with machine, date, commands and every figure as JSON.
Exit status: 1 if a benchmark failed, 0 otherwise, whatever the ratios.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure beside its target, if it has one; ``least`` says whether more is better."""

    what: str
    against: str
    value: float
    target: float | None
    least: bool = True

    @property
    def reached(self) -> bool | None:
        """Whether the target is met; None without one."""
        if self.target is None:
            return None
        return self.value >= self.target if self.least else self.value <= self.target


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """A script, its arguments in full and in quick runs, what it needs, and how its answer reads."""

    script: str
    rows: Callable[[Mapping[str, Any]], list[Row]]
    full: tuple[str, ...] = ()
    quick: tuple[str, ...] = ()
    needs: str | None = None


def ledger(answer: Mapping[str, Any]) -> list[Row]:
    rows = []
    for way, title in (
        ("one_process", "ledger, 32 clients"),
        ("sequencer", "ledger, 32 clients in 4 processes, one sequencer"),
    ):
        figures, what = answer[way], f"{title}, {answer['database']}"
        rows += [
            Row(what=what, against="fdatasync/s of the disk", value=figures["ratio"], target=12),
            Row(
                what=f"{what}, p99", against="in fsyncs", value=figures["p99_fsyncs"], target=10, least=False
            ),
        ]
    return rows


def detail(answer: Mapping[str, Any]) -> list[Row]:
    """No target was set: sealing is what the detail costs."""
    return [Row(what="ledger, sealed detail", against="without", value=answer["ratio"], target=None)]


def query(answer: Mapping[str, Any]) -> list[Row]:
    """No target was set. A page of 100 entries costs what 100 lookups cost where no query scans."""
    rows = [
        Row(
            what=f"{name}, p50",
            against="lookup by index",
            value=figures["ratio_p50"],
            target=None,
            least=False,
        )
        for name, figures in answer["figures"].items()
        if name != "lookup"
    ]
    return rows + [
        Row(what=f"ask {name}, seconds", against="–", value=figures["seconds"], target=None, least=False)
        for name, figures in answer["questions"].items()
    ]


def decision(answer: Mapping[str, Any]) -> list[Row]:
    ratio = next(row["ratio"] for row in answer["rows"] if row["point"] == "all")
    return [Row(what="decision p50, embedded", against="OPA server", value=ratio, target=0.25, least=False)]


def offset(answer: Mapping[str, Any]) -> list[Row]:
    drive, moved = answer["figures"]["drive"], answer["shift"]
    error = moved["max_distance_error"] * 100
    return [
        Row(what="keyed offset, a drive", against="numpy GCJ-02", value=drive["ratio"], target=5 / 3.2),
        Row(what="keyed offset, Mpt/s", against="–", value=drive["keyed_offset_mpts"], target=5),
        Row(what="distance error, %", against="true distance", value=error, target=0.7, least=False),
    ]


def zones(answer: Mapping[str, Any]) -> list[Row]:
    figures = answer["figures"]
    return [
        Row(
            what=f"zone test, {name}",
            against="STRtree join",
            value=figures[name]["ratio_to_strtree"],
            target=target,
        )
        for name, target in (("scattered", 6), ("lidar sweeps", 50))
    ]


def rewrite(answer: Mapping[str, Any]) -> list[Row]:
    """The target is that of redacting everything but pixels; passing through has to reach it first."""
    names = {"none": "MCAP, passed through", "first": "MCAP, first pass", "second": "MCAP, second pass"}
    rows = []
    for how, figures in answer["figures"].items():
        grown = figures["ours peak MiB"] / figures["ours peak MiB, a quarter of the file"]
        rows += [
            Row(what=names[how], against="mcap copy", value=figures["ratio"],
                target=None if how == "second" else 0.6),
            Row(what=f"{names[how]}, peak memory", against="a quarter of the file", value=grown,
                target=None if how == "second" else 1.1, least=False),
        ]  # fmt: skip
    return rows


def positions(answer: Mapping[str, Any]) -> list[Row]:
    """No target was set: the peers only read every number once, and find nothing."""
    return [
        Row(what=f"search, {name}", against="one pass over all numbers", value=f["ratio"], target=None)
        for name, f in answer["figures"].items()
    ]


def formats(answer: Mapping[str, Any]) -> list[Row]:
    """No target was set: the libraries test nothing and drop nothing."""
    return [
        Row(
            what=f"first pass, {name}",
            against=f"{f['library']}, read and write",
            value=f["ratio"],
            target=None,
        )
        for name, f in answer["figures"].items()
    ]


def attacks(answer: Mapping[str, Any]) -> list[Row]:
    """What attackers recover is told beside what DESIGN.md measured; only distortion has limits."""
    limits = {"greatest distance error over 100 m, %": 0.7, "greatest heading error, degrees": 0.4}
    return [
        Row(
            what=name,
            against=f"DESIGN.md {answer['design'].get(name, '–')}",
            value=value,
            target=limits.get(name),
            least=False,
        )
        for name, value in answer["figures"].items()
    ]


def sealed(answer: Mapping[str, Any]) -> list[Row]:
    write, read, span, sm4_write, sm4_read = (row["value"] for row in answer["rows"])
    return [
        Row(what="sealed write", against="AES-GCM, one buffer", value=write, target=0.6),
        Row(what="sealed read", against="AES-GCM, one buffer", value=read, target=0.7),
        Row(what="64 KiB range, µs", against="–", value=span, target=50, least=False),
        Row(what="sealed write, SM4", against="SM4-GCM, one buffer", value=sm4_write, target=0.6),
        Row(what="sealed read, SM4", against="SM4-GCM, one buffer", value=sm4_read, target=0.7),
    ]


def brute_force(answer: Mapping[str, Any]) -> list[Row]:
    crude, stratified = answer["crude"], answer["stratified"]
    error = (crude["standard_error"] ** 2 + stratified["standard_error"] ** 2) ** 0.5
    apart = abs(crude["probability"] - stratified["probability"]) / error
    return [
        Row(
            what="stratified Monte Carlo, standard errors apart",
            against="crude Monte Carlo",
            value=apart,
            target=3,
            least=False,
        ),
        Row(what="crude Monte Carlo, runs/s", against="–", value=crude["runs_per_s"], target=None),
    ]


def reliability(answer: Mapping[str, Any]) -> list[Row]:
    headline = answer["headline"]
    apart = abs(headline["bias_in_standard_errors"])
    return [
        Row(
            what="p ≈ 1e-7 from 5,500 runs, CoV",
            against="–",
            value=headline["median_cov"],
            target=0.1,
            least=False,
        ),
        Row(what="its bias, standard errors", against="Monte Carlo", value=apart, target=2, least=False),
        Row(
            what="runs that Monte Carlo needs over ours",
            against="crude Monte Carlo",
            value=answer["runs_of_crude_monte_carlo_for_the_same_error"] / headline["runs"],
            target=None,
        ),
        Row(what="cut-ins simulated, runs/s", against="–", value=answer["simulator_runs_per_s"], target=None),
    ]


def simulators(answer: Mapping[str, Any]) -> list[Row]:
    """No target was set: what a run costs on each simulator, and whether all say the same of it."""
    speed, agree = answer["over_sumo"], answer["agree_with_idm"]
    return [
        Row(what=f"cut-ins on {name}, runs/s", against="SUMO", value=speed[name], target=None)
        for name in ("idm", "highway-env")
    ] + [
        Row(what=f"{name} fails as idm does", against="idm", value=agree[name], target=None)
        for name in ("sumo", "highway-env")
    ]


def download(answer: Mapping[str, Any]) -> list[Row]:
    figures = answer["figures"]
    return [Row(what="release download", against=str(figures["peer"]), value=figures["ratio"], target=0.5)]


def images(answer: Mapping[str, Any]) -> list[Row]:
    rows = []
    for name, entry in answer.items():
        ours = entry["fleetgate"]["all"]
        if "speed_ratio" in entry:
            speed, found = entry["speed_ratio"], entry["found_ratio"]
            rows += [
                Row(what=f"{name}, frames/s", against="deface (faces only)", value=speed, target=2),
                Row(what=f"{name}, recall", against="deface", value=found or 0.0, target=1),
            ]
        target = 0.95 if "deface" in entry else 0.92 if name == "plates_eu_dashcam" else 0.97
        rows.append(
            Row(what=f"{name}, covered ≥ 75 %", against="labels", value=ours["covered"], target=target)
        )
    return rows


def videos(answer: Mapping[str, Any]) -> list[Row]:
    return [
        row
        for name, entry in answer.items()
        for row in (
            Row(
                what=f"{name}, frames/s", against="deface (faces only)", value=entry["speed_ratio"], target=2
            ),
            Row(
                what=f"{name}, deface's boxes covered",
                against="deface",
                value=entry["covered"] or 0,
                target=1,
            ),
        )
    ]


def long_tracks(answer: Mapping[str, Any]) -> list[Row]:
    return [
        Row(what=f"{form}, {found['fixes']:,} fixes: {what}", against="–", value=value, target=None)
        for form, found in answer.items()
        for what, value in (
            ("CPU seconds", found["cpu_seconds"]),
            ("peak memory, bytes a fix", found["peak_rss_mib"] * 2**20 / found["fixes"]),
        )
    ]


def downstream(answer: Mapping[str, Any]) -> list[Row]:
    """No more points may be lost to a tracker than pixels were masked."""
    return [
        Row(what=f"{name}, tracked points kept", against="before masking", value=entry["point_inliers_kept"],
            target=1 - entry["masked_share"])
        for name, entry in answer.items()
    ]  # fmt: skip


def inversion(answer: Mapping[str, Any]) -> list[Row]:
    """Two of twenty plates read by luck is within what one in 300 candidates makes likely."""
    offered = {"mean", "solid", "pixelate, 3 cells", "pixelate, 2 cells"}
    return [
        Row(
            what=f"plates read through {row['mask']}",
            against=f"chance {1 / answer['candidates']:.3f}",
            value=max(row["read"], row["read_from_10_frames"]) / row["plates"],
            target=0.1,
            least=False,
        )
        for row in answer["rows"]
        if row["mask"] in offered
    ]


def picture_search(answer: Mapping[str, Any]) -> list[Row]:
    """No target was set: how much faster than one product of matrices, and what the cells lose."""
    return [
        Row(what="picture search, flat", against="numpy product", value=answer["flat_to_numpy"], target=None),
        Row(what="picture search, cells", against="numpy product", value=answer["ivf_to_numpy"], target=None),
        Row(
            what="picture search, cells, recall at 10",
            against="numpy product",
            value=answer["ivf"]["recall_at_10"],
            target=None,
        ),
    ]


def triggers(answer: Mapping[str, Any]) -> list[Row]:
    """No target was set: the peers count rows and make no events."""
    return [
        Row(what=f"triggers, {what}", against=against, value=answer[f"{name}_to_{peer}"], target=None)
        for name, what in (("plain", "five conditions"), ("all", "the six shipped"))
        for peer, against in (("numpy", "one numpy pass"), ("duckdb", "DuckDB count"))
    ]


def label_review(answer: Mapping[str, Any]) -> list[Row]:
    """AUROC of the review queue, errors of all kinds, mean of the runs."""
    return [
        Row(what=f"review queue, AUROC, by {name}", against="chance 0.5", value=row["all"][1], target=0.82)
        for name, row in answer.items()
    ]


def release(answer: Mapping[str, Any]) -> list[Row]:
    smallest, largest = answer["rows"][0], answer["rows"][-1]
    what = f"release, CPU an item at {largest['items']:,}"
    return [
        Row(
            what=what,
            against=f"at {smallest['items']:,} items",
            value=answer["ratio"],
            target=answer["target"],
            least=False,
        ),
        Row(what=f"{what}, ms", against="–", value=largest["cpu_ms_per_item"], target=None, least=False),
    ]


def loading(answer: Mapping[str, Any]) -> list[Row]:
    """Bytes alone, and batches of tensors by two loading processes."""
    return [
        Row(what=f"sealed shards, {name}", against="plaintext files, page cache", value=answer[f"{name}_ratio"],
            target=0.8)
        for name in ("batches", "reading")
    ]  # fmt: skip


def scaling(answer: Mapping[str, Any]) -> list[Row]:
    """Ray against the pool, and each with something killed against itself undisturbed."""
    return [
        Row(what="Ray Data, time", against="process pool", value=answer["ray_to_pool"], target=None),
        Row(what="pool, a worker killed, time", against="the pool undisturbed",
            value=answer["pool_killed_to_pool"], target=None),
        Row(what="Ray Data, a node killed, time", against="Ray Data undisturbed",
            value=answer["ray_killed_to_ray"], target=None),
    ]  # fmt: skip


def federated(answer: Mapping[str, Any]) -> list[Row]:
    """What TCP carries for a site in a round."""
    return [
        Row(what=f"federated round, {each['parameters']:,} parameters", against="4 bytes each, in and out",
            value=each["wire_to_raw"], target=None)
        for each in answer["sizes"]
    ]  # fmt: skip


def goodput(answer: Mapping[str, Any]) -> list[Row]:
    """Time of kept steps by the wall clock, undisturbed and killed once, and two ranks by twice one."""
    return [
        Row(what="training, goodput", against="wall clock", value=answer["one_rank_goodput"], target=0.91),
        Row(
            what="training, goodput, killed once",
            against="wall clock",
            value=answer["killed_goodput"],
            target=0.91,
        ),
        Row(what="training, two ranks", against="twice one rank", value=answer["scaling"], target=None),
    ]


BENCHMARKS = (
    Benchmark(script="ledger_append", rows=ledger, quick=("--seconds", "0.5", "--rounds", "1")),
    Benchmark(
        script="ledger_append",
        rows=ledger,
        full=("--postgresql",),
        quick=("--postgresql", "--seconds", "0.5", "--rounds", "1"),
    ),
    Benchmark(script="ledger_detail", rows=detail, quick=("--seconds", "0.5", "--rounds", "1")),
    Benchmark(
        script="ledger_query",
        rows=query,
        full=("--entries", "1000000"),
        quick=("--entries", "20000", "--samples", "10"),
    ),
    Benchmark(script="decision", rows=decision, quick=("--rounds", "1"), needs="opa"),
    Benchmark(script="keyed_offset", rows=offset, quick=("--points", "200000", "--rounds", "2")),
    Benchmark(
        script="zone_test",
        rows=zones,
        quick=("--points", "240000", "--peer-points", "24000", "--rounds", "2"),
    ),
    Benchmark(script="long_track", rows=long_tracks, quick=("--fixes", "100000")),
    Benchmark(script="mcap_rewrite", rows=rewrite, quick=("--mib", "32", "--rounds", "1")),
    Benchmark(
        script="position_search",
        rows=positions,
        quick=("--megabytes", "4", "--fixes", "5000", "--rounds", "1"),
    ),
    Benchmark(script="format_passes", rows=formats, quick=("--size", "0.05", "--rounds", "1")),
    Benchmark(script="geo_attacks", rows=attacks, quick=("--quick",)),
    Benchmark(
        script="brute_force",
        rows=brute_force,
        full=("--gap", "3.6", "--minutes", "3", "--stratum-runs", "300000"),
        quick=("--gap", "3.0", "--minutes", "0.1", "--stratum-runs", "20000"),
    ),
    Benchmark(script="simulator_runs", rows=simulators, quick=("--rows", "16")),
    Benchmark(
        script="reliability_runs", rows=reliability, quick=("--repeats", "5", "--stratum-runs", "50000")
    ),
    Benchmark(script="sealed_files", rows=sealed, quick=("--mib", "8", "--rounds", "2")),
    Benchmark(
        script="release_cost",
        rows=release,
        full=("--items", "500", "2000", "10000"),
        quick=("--items", "20", "60"),
    ),
    Benchmark(script="release_download", rows=download, quick=("--mib", "32", "--rounds", "2")),
    Benchmark(
        script="image_cleansing",
        rows=images,
        full=("--limit", "40"),
        quick=("--limit", "3", "--masked-only"),
        needs="data",
    ),
    Benchmark(script="video_cleansing", rows=videos, quick=("--frames", "4", "--as-is"), needs="data"),
    Benchmark(script="downstream_effect", rows=downstream, quick=("--frames", "4"), needs="data"),
    Benchmark(
        script="mask_inversion",
        rows=inversion,
        full=("--candidates", "300"),
        quick=("--plates", "10", "--candidates", "40"),
    ),
    Benchmark(script="picture_search", rows=picture_search, quick=("--vectors", "5000", "--queries", "5")),
    Benchmark(script="scale_engines", rows=scaling, quick=("--pictures", "6", "--workers", "1")),
    Benchmark(script="federated_bytes", rows=federated, quick=("--parameters", "1000"), needs="flower"),
    Benchmark(script="loader", rows=loading, quick=("--samples", "12", "--rounds", "1", "--epochs", "1")),
    Benchmark(script="label_review", rows=label_review, quick=("--frames", "60", "--seeds", "1")),
    Benchmark(
        script="training_goodput",
        rows=goodput,
        quick=("--pictures", "16", "--epochs", "2", "--side", "64", "--batch", "4"),
    ),
    Benchmark(script="trigger_rows", rows=triggers, quick=("--rows", "60000", "--rounds", "1")),
)


def machine() -> dict[str, Any]:
    """What the figures were measured on, and how busy it was beforehand."""
    model = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text(encoding="utf-8").splitlines()
        model = next(
            (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model
        )
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 1),
    }


def run_one(command: list[str]) -> tuple[Mapping[str, Any] | None, str]:
    """The answer of a benchmark, or none and what it wrote last."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode != 0:
        return None, (done.stderr.strip().splitlines() or ["no message"])[-1]
    answer: Mapping[str, Any] = json.loads(done.stdout[done.stdout.index("{") :])
    return answer, ""


def table(rows: list[Row]) -> str:
    """The rows for people to read."""
    wide = max([34, *(len(row.what) for row in rows)])
    lines = [f"{'what':{wide}} {'against':32} {'value':>9}  {'target':9}"]
    for row in rows:
        asked = "–" if row.target is None else f"{'≥' if row.least else '≤'} {row.target:.3g}"
        judged = {True: "reached", False: "missed", None: "–"}[row.reached]
        lines.append(f"{row.what:{wide}} {row.against:32} {row.value:9.3g}  {asked:9}  {judged}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small inputs, few rounds: not to be quoted")
    parser.add_argument("--only", nargs="+", choices=[each.script for each in BENCHMARKS])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "media")
    parser.add_argument("--opa", type=Path, default=ROOT.parent / "shared" / "bin" / "opa")
    parser.add_argument(
        "--flower",
        default=os.environ.get("FLEETGATE_FLOWER_PYTHON"),
        help="interpreter of Flower's environment",
    )
    parser.add_argument("--out", type=Path, help="write everything as JSON")
    asked = parser.parse_args()
    found = {
        "opa": os.path.relpath(asked.opa, ROOT) if asked.opa.is_file() else shutil.which("opa"),
        "data": os.path.relpath(asked.data, ROOT) if asked.data.is_dir() else None,
        "flower": asked.flower,
    }
    report: dict[str, Any] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "quick": asked.quick,
        "benchmarks": {},
    }
    rows: list[Row] = []
    failed = False
    for each in BENCHMARKS:
        if asked.only and each.script not in asked.only:
            continue
        if each.needs and not found[each.needs]:
            print(f"{each.script}: skipped, {each.needs} is not here (give --{each.needs})", file=sys.stderr)
            continue
        command = [sys.executable, str(HERE / f"{each.script}.py"), "--json"]
        command += each.quick if asked.quick else each.full
        if each.needs:
            command += [f"--{each.needs}", str(found[each.needs])]
        started = time.monotonic()
        answer, complaint = run_one(command)
        entry: dict[str, Any] = {
            "command": " ".join(["python", f"benchmarks/{each.script}.py", *command[2:]]),
            "seconds": round(time.monotonic() - started, 1),
        }
        print(f"{each.script}: {entry['seconds']} s {complaint}", file=sys.stderr)
        if answer is None:
            failed = True
            entry["failed"] = complaint
        else:
            mine = each.rows(answer)
            rows += mine
            entry |= {
                "rows": [{**_plain(row), "reached": row.reached} for row in mine],
                "figures": answer,
            }
        report["benchmarks"][" ".join([each.script, *command[3:]])] = entry
    described = report["machine"]
    print(f"\n{report['date']}  {described['processor']}, {described['cores']} cores")
    print(f"load before: {described['load_before']}{'; QUICK, not to be quoted' if asked.quick else ''}\n")
    print(table(rows))
    if asked.out:
        asked.out.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 1 if failed else 0


def _plain(row: Row) -> dict[str, Any]:
    return {name: getattr(row, name) for name in ("what", "against", "value", "target", "least")}


if __name__ == "__main__":
    sys.exit(main())
