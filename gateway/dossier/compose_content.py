"""What a dossier says of its content: items, treatments, models, samples, positions."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from gateway.dossier.area_map import draw_clips, draw_grid
from gateway.dossier.document import Block, Column, Figure, Section, Style, Table, Text, rows_of
from gateway.dossier.setting import facts, number, share
from gateway.dossier.words import Words

_OFFSET = ("min_shift_m", "mean_shift_m", "max_distance_error", "max_heading_error_deg", "max_strain")


def items_section(twin: Mapping[str, Any], words: Words) -> Section:
    """Every item with its digest, and how many were left out why."""
    return Section(
        heading=words("s.items"),
        blocks=(
            Table(
                caption=words("items_caption"),
                columns=(
                    Column(heading=words("name"), style=Style.CODE, width=4),
                    Column(heading=words("class"), width=2),
                    Column(heading=words("level_in"), width=2),
                    Column(heading=words("level_out"), width=2),
                    Column(heading=words("bytes"), style=Style.NUMBER, width=2),
                    Column(heading=words("sha256"), style=Style.CODE, width=4),
                ),
                rows=rows_of(
                    [
                        (
                            item["name"],
                            words.code(item["class"]),
                            words.code(item["level_in"]),
                            words.code(item["level"]),
                            number(item["size"]),
                            item["sha256"],
                        )
                        for item in twin["items"]
                    ]
                ),
                empty=words("items_none"),
            ),
            Table(
                caption=words("left_out_caption"),
                columns=(Column(heading=words("reason")), Column(heading=words("count"), style=Style.NUMBER)),
                rows=rows_of(list(twin["left_out"].items())),
                empty=words("left_out_none"),
            ),
        ),
    )


def treatment_section(twin: Mapping[str, Any], words: Words) -> Section:
    """What was found, what was done about it, and by what the output was looked at again."""
    pictures = twin["pictures"]
    counted = ", ".join(f"{words.code(kind)}: {count}" for kind, count in pictures["kinds"].items())
    light = ", ".join(f"{words.code(kind)}: {count}" for kind, count in pictures["light"].items())
    return Section(
        heading=words("s.treatment"),
        blocks=(
            Table(
                caption=words("found_caption"),
                columns=(Column(heading=words("what")), Column(heading=words("count"), style=Style.NUMBER)),
                rows=rows_of([(words.code(kind), number(n)) for kind, n in twin["found"].items()]),
                empty=words("found_none"),
            ),
            Table(
                caption=words("treated_caption"),
                columns=(
                    Column(heading=words("what")),
                    Column(heading=words("treatment")),
                    Column(heading=words("count"), style=Style.NUMBER),
                ),
                rows=rows_of(
                    [
                        (words.code(each["of"]), words.code(each["kind"]), number(each["count"]))
                        for each in twin["treatments"]
                    ]
                ),
                empty=words("treated_none"),
            ),
            facts(
                words,
                "scan_caption",
                (
                    ("scanners", ", ".join(twin["residual_scanners"])),
                    ("pictures", counted or words("none")),
                    ("light", light or words("none")),
                    ("passes", pictures["passes"]),
                ),
                [("zone_files", digest) for digest in twin["zone_files"]],
            ),
        ),
    )


def detection_section(twin: Mapping[str, Any], words: Words) -> Section:
    """The models with their digests, and what was measured of them."""
    detection = twin["detection"]
    if not detection:
        return Section(heading=words("s.detection"), blocks=(Text(text=words("models_none")),))
    unknown = [
        Text(text=words("model_unknown", set=each["detector_set"]), note=True)
        for each in detection
        if not each["detectors"]
    ]
    models = {model["sha256"]: model for each in detection for model in each["detectors"]}
    measured = [figures for each in detection for figures in each["measured"]]
    return Section(
        heading=words("s.detection"),
        blocks=(
            *unknown,
            Table(
                caption=words("models_caption"),
                columns=(
                    Column(heading=words("name"), width=2),
                    Column(heading=words("kinds"), width=3),
                    Column(heading=words("licence_of"), width=2),
                    Column(heading=words("source"), width=3),
                    Column(heading=words("sha256"), style=Style.CODE, width=5),
                ),
                rows=rows_of(
                    [
                        (
                            m["name"],
                            ", ".join(words.code(kind) for kind in m["kinds"]),
                            m["licence"],
                            m["source"],
                            digest,
                        )
                        for digest, m in sorted(models.items())
                    ]
                ),
                empty=words("models_none"),
            ),
            _measured_table(measured, words),
            *_bins_blocks(measured, words),
        ),
    )


def _measured_table(measured: list[dict[str, Any]], words: Words) -> Table:
    return Table(
        caption=words("measured_caption"),
        columns=(
            Column(heading=words("what"), width=3),
            Column(heading=words("dataset"), width=3),
            Column(heading=words("images"), style=Style.NUMBER, width=2),
            Column(heading=words("objects"), style=Style.NUMBER, width=2),
            Column(heading=words("recall"), width=4),
            Column(heading=words("covered"), width=4),
            Column(heading=words("fp"), style=Style.NUMBER, width=2),
        ),
        rows=rows_of(
            [
                (
                    words.code(f["kind"]),
                    f"{f['dataset']} ({f['measured_on']})",
                    number(f["images"]),
                    number(f["objects"]),
                    share(f["found"]),
                    share(f["covered"]),
                    f["false_positives_per_image"],
                )
                for f in measured
            ]
        ),
        empty=words("measured_none"),
    )


def _bins_blocks(measured: list[dict[str, Any]], words: Words) -> Iterator[Block]:
    if measured:
        yield _bins_table(measured, words)
        yield Text(text=words("fp_note"))


def _bins_table(measured: list[dict[str, Any]], words: Words) -> Table:
    rows = [
        (
            words.code(f["kind"]),
            f["dataset"],
            f"{name} px" if group == "by_side" else words.code(name),
            number(figures["objects"]),
            share(figures["found"]),
            share(figures["covered"]),
        )
        for f in measured
        for group in ("by_side", "by_light")
        for name, figures in f[group].items()
    ]
    return Table(
        caption=words("bins_caption"),
        columns=(
            Column(heading=words("what"), width=2),
            Column(heading=words("dataset"), width=3),
            Column(heading=words("bin"), width=2),
            Column(heading=words("objects"), style=Style.NUMBER, width=2),
            Column(heading=words("recall"), width=4),
            Column(heading=words("covered"), width=4),
        ),
        rows=rows_of(rows),
        empty=words("measured_none"),
    )


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)


def position_section(twin: Mapping[str, Any], words: Words) -> Section:
    """How positions and times leave, what the offset did, and the released area."""
    handled = sorted({(i["position_handling"], i["absolute_time"]) for i in twin["items"]})
    counts = [
        sum((i["position_handling"], i["absolute_time"]) == pair for i in twin["items"]) for pair in handled
    ]
    return Section(
        heading=words("s.position"),
        blocks=(
            Table(
                caption=words("handling_caption"),
                columns=(
                    Column(heading=words("handling")),
                    Column(heading=words("time_handling")),
                    Column(heading=words("items"), style=Style.NUMBER),
                ),
                rows=rows_of(
                    [
                        (words.code(position), words.code(time), number(count))
                        for (position, time), count in zip(handled, counts, strict=True)
                    ]
                ),
                empty=words("items_none"),
            ),
            *_offset_blocks(twin, words),
            *_processor_blocks(twin, words),
            *_area_blocks(twin, words),
        ),
    )


def _offset_blocks(twin: Mapping[str, Any], words: Words) -> Iterator[Block]:
    measured = [each for each in twin["offset"] if "min_shift_m" in each]
    if not measured:
        return
    worst = {
        name: (min if name == "min_shift_m" else max)(float(m[name]) for m in measured if name in m)
        for name in _OFFSET
        if any(name in m for m in measured)
    }
    yield facts(words, "offset_caption", [(name, f"{value:.4f}") for name, value in worst.items()])
    yield Text(text=words("offset_note"), note=True)


def _processor_blocks(twin: Mapping[str, Any], words: Words) -> Iterator[Block]:
    if twin["processor"]:
        yield Table(
            caption=words("processor_caption"),
            columns=(
                Column(heading=words("name"), style=Style.CODE, width=3),
                Column(heading="secrecy_tech_id", width=2),
                Column(heading=words("attestation"), style=Style.CODE, width=4),
                Column(heading=words("checks"), width=4),
            ),
            rows=rows_of(
                [
                    (p["name"], p["secrecy_tech_id"], _plain(p["attestation"]), _plain(p["checks"]))
                    for p in twin["processor"]
                ]
            ),
            empty=words("none"),
        )


def _area_blocks(twin: Mapping[str, Any], words: Words) -> Iterator[Block]:
    area = twin["area"]
    if area["kind"] == "grid":
        step = area["cell_deg"]
        caption = words(
            "map_grid",
            count=len(area["cells"]),
            step=step,
            km2=area["cells_km2"],
            mode=twin["release"]["mode"],
        )
        rows, columns = zip(*area["cells"], strict=True)
        alt = caption + words(
            "map_grid_alt",
            south=f"{min(rows) * step:.3f}°",
            north=f"{(max(rows) + 1) * step:.3f}°",
            west=f"{min(columns) * step:.3f}°",
            east=f"{(max(columns) + 1) * step:.3f}°",
        )
        yield Figure(caption=caption, alt=alt, svg=draw_grid(area, alt))
    elif area["kind"] == "local":
        caption = words("map_local", count=len(area["clips"]))
        yield Figure(caption=caption, alt=caption, svg=draw_clips(area["clips"], caption, words.language))
    else:
        yield Text(text=words("map_none"))
    if area["not_drawn"]:
        yield Text(text=words("map_not_drawn", count=area["not_drawn"]), note=True)
