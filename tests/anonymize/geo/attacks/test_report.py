"""The report in words: every figure that was measured, in both languages, and what it means."""

from dataclasses import replace

import numpy as np
import pytest

from anonymize.geo.attacks import map_matching
from anonymize.geo.attacks.figures import JoinFigure, MatchingFigure
from anonymize.geo.attacks.known_points import KnownPointFigure
from anonymize.geo.attacks.report import AttackReport, report_lines
from streets import degrees

JOIN = JoinFigure(drives=1, candidates=7, found=1, claimed=1, claimed_wrong=0, alone=2, alone_claimed=0)
REPORT = AttackReport(
    mode="OFFSET",
    drives=3,
    not_attacked=1,
    fixes=1234,
    road_km=87.25,
    extract="0" * 64,
    known_points=(
        KnownPointFigure(known=2, fit="constant", median_m=17.061, p95_m=44.0, best=False),
        KnownPointFigure(known=2, fit="kriging", median_m=14.12, p95_m=31.5, best=True),
    ),
    map_matching=(
        MatchingFigure(
            over_m=1500.0,
            to_m=None,
            tried=9,
            found=8,
            claimed=7,
            claimed_wrong=0,
            elsewhere=4,
            elsewhere_claimed=0,
        ),
    ),
    other_releases=JOIN,
    released_again=JOIN,
    releases_left_out=0,
)


def test_every_figure_is_said_once_in_chinese_and_english():
    lines = report_lines(REPORT.as_dict())
    assert all(" / " in line for line in lines)
    text = "\n".join(lines)
    for part in ("14.1 米", "14.1 m", "8 of 9 found", "9 段中找到 8 段", "1 recordings show", "是匿名化"):
        assert part in text
    assert "17.1" not in text
    assert text.count("off the extract") == 1


def test_what_was_not_measured_is_said_so():
    alone = replace(JOIN, candidates=1)
    text = "\n".join(
        report_lines(replace(REPORT, mode="LOCAL", other_releases=None, released_again=alone).as_dict())
    )
    assert "no other release to join with" in text
    assert "nothing measured" in text
    assert "LOCAL hides where, not what shape" in text


@pytest.mark.parametrize("starts", [700, 10**9])
def test_a_search_in_parts_finds_what_one_search_finds(network, made_town, monkeypatch, starts):
    monkeypatch.setattr(map_matching, "_STARTS", starts)
    truth = network.to_frame(*degrees(made_town.drive(np.random.default_rng(12), 900.0)))
    match = map_matching.match_local(network, truth * np.exp(1j))
    assert match is not None
    assert match.error_m(truth) < 10.0
