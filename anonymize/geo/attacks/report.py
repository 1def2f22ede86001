"""The report on one release: figures as JSON, and what they mean in Chinese and English."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from anonymize.geo.attacks.figures import JoinFigure, MatchingFigure, Mode
from anonymize.geo.attacks.known_points import KnownPointFigure


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackReport:
    """What three attacks found in one release.

    Attributes:
        mode: How its positions leave.
        drives: Drives whose positions it shows.
        not_attacked: Recordings that show positions but state no track to attack.
        fixes: Fixes of the drives' tracks that it shows.
        road_km: Kilometres of road of the extract.
        extract: SHA-256 of the extract.
        known_points: The known-point attack; empty in LOCAL mode, where every clip has a frame of its own.
        map_matching: Map matching, by length of the clips.
        other_releases: The join with the other releases of the gate; None where there is none.
        released_again: The join of every drive with itself under a fresh key, among all drives of the gate.
        releases_left_out: Other releases that were too many to compare with, or whose drives are erased.
    """

    mode: Mode
    drives: int
    not_attacked: int
    fixes: int
    road_km: float
    extract: str
    known_points: tuple[KnownPointFigure, ...]
    map_matching: tuple[MatchingFigure, ...]
    other_releases: JoinFigure | None
    released_again: JoinFigure
    releases_left_out: int

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form; metres to the centimetre."""
        return {
            **asdict(self),
            "road_km": round(self.road_km, 1),
            "known_points": [
                {**asdict(f), "median_m": round(f.median_m, 2), "p95_m": round(f.p95_m, 2)}
                for f in self.known_points
            ],
            "map_matching": [asdict(f) for f in self.map_matching],
        }


def report_lines(report: Mapping[str, Any], *, joins: bool = True) -> list[str]:
    """A stored report for people to read: each line in Chinese, then in English.

    Args:
        report: What ``AttackReport.as_dict`` gave.
        joins: Also say what the joins with other drives of the gate found, which no recipient is told.
    """
    lines = [
        (
            f"攻击测试：{report['mode']} 模式，{report['drives']} 段行程，{report['fixes']} 个定位点 / "
            f"attacked: {report['mode']} mode, {report['drives']} drives, {report['fixes']} fixes"
        ),
        *_known_lines(report),
        *_matching_lines(report),
        *(_join_lines(report) if joins else ()),
    ]
    if report["not_attacked"]:
        lines.append(
            f"{report['not_attacked']} 个记录含位置但无轨迹，未测试 / "
            f"{report['not_attacked']} recordings show positions but no track: not attacked"
        )
    return [*lines, _meaning(report)]


def _known_lines(report: Mapping[str, Any]) -> Iterator[str]:
    for f in report["known_points"]:
        if f["best"]:
            yield (
                f"已知 {f['known']} 个真实点后剩余误差：中位数 {f['median_m']:.1f} 米，"
                f"95% 分位 {f['p95_m']:.1f} 米 / "
                f"error left to somebody who knows {f['known']} true position(s): median {f['median_m']:.1f} m, "
                f"95th percentile {f['p95_m']:.1f} m ({f['fit']})"
            )


def _matching_lines(report: Mapping[str, Any]) -> Iterator[str]:
    for f in report["map_matching"]:
        zh = f"{f['over_m']:.0f} 米以上" if f["to_m"] is None else f"{f['over_m']:.0f}–{f['to_m']:.0f} 米"
        en = f"over {f['over_m']:.0f} m" if f["to_m"] is None else f"{f['over_m']:.0f} to {f['to_m']:.0f} m"
        if f["tried"]:
            yield (
                f"路网匹配，{zh}的片段：{f['tried']} 段中找到 {f['found']} 段，攻击者会确信其中 {f['claimed']} 段"
                f"（{f['claimed_wrong']} 段错误） / "
                f"map matching, clips of {en}: {f['found']} of {f['tried']} found, "
                f"an attacker would believe {f['claimed']} ({f['claimed_wrong']} wrongly)"
            )
        if f["elsewhere"]:
            yield (
                f"路网数据之外的片段（{zh}）：{f['elsewhere']} 段，误认 {f['elsewhere_claimed']} 段 / "
                f"clips off the extract ({en}): {f['elsewhere']}, believed {f['elsewhere_claimed']}"
            )


def _join_lines(report: Mapping[str, Any]) -> Iterator[str]:
    other, again = report["other_releases"], report["released_again"]
    if other is None:
        yield "没有其他发布可比对 / no other release to join with"
    else:
        yield (
            f"与其他发布比对（{other['candidates']} 段行程）：{other['drives']} 段相同行程中"
            f"识别出 {other['found']} 段；{other['alone']} 段无对应，误认 {other['alone_claimed']} 段 / "
            f"joined with other releases ({other['candidates']} drives): {other['found']} of {other['drives']} "
            f"drives recognised; {other['alone']} are in no other, believed {other['alone_claimed']}"
        )
    if again["candidates"] > 1:
        yield (
            f"若换密钥再次发布：{again['candidates']} 段行程中，{again['drives']} 段可识别 {again['found']} 段 / "
            f"released again under another key: {again['found']} of {again['drives']} drives recognised among "
            f"{again['candidates']}"
        )
    else:
        yield (
            "若换密钥再次发布：没有其他行程作对照，无法估计 / "
            "released again under another key: no other drive to tell it from, nothing measured"
        )


def _meaning(report: Mapping[str, Any]) -> str:
    if report["mode"] == "OFFSET":
        return (
            "偏移不是匿名化：上述数据说明他人可在多大程度上还原真实位置；偏移不降低数据等级，"
            "起保护作用的是接收方的范围与约束 / "
            "an offset is no anonymisation: these figures say how far others can restore true places. It lowers "
            "no class; what protects is whom the release goes to"
        )
    return (
        "LOCAL 模式隐藏地点，不隐藏道路形状：被找到的片段即等于真实轨迹 / "
        "LOCAL hides where, not what shape: a clip that is found is a true track"
    )
