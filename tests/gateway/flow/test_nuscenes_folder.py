"""What the tables of a nuScenes folder say of their recording, without a gate."""

import io
import json

import numpy as np
import pytest

from anonymize.errors import CompanionError, UnknownCrsError
from anonymize.formats.identify import ItemKind
from anonymize.profile import shipped_profile
from gateway.flow.kinds.nuscenes_folder import CUT_AT, NuscenesFolder
from gateway.flow.kinds.siblings import Sibling, Siblings
from nuscenes_folder import CRS, folder, stamp


def folder_of(tables: dict[str, list[dict]], *, crs: str = CRS, **facts: object) -> NuscenesFolder:
    items = [
        Sibling(
            item=name,
            name=f"v1.0-mini/{name}.json",
            kind=ItemKind.NUSCENES_TABLE,
            captured=None,
            open=lambda rows=rows: io.BytesIO(json.dumps(rows).encode()),
            facts={"table": "category" if name == "attribute" else name, **facts},
        )
        for name, rows in tables.items()
    ]
    return NuscenesFolder(
        Siblings(items=tuple(items)), crs=crs, profile=shipped_profile("cn-2026").profile.tracks
    )


def test_a_segment_ends_where_poses_were_cut_and_nowhere_else():
    tables = folder(seconds=40).tables
    whole = folder_of(tables).track
    assert whole is not None
    assert set(whole.segment.tolist()) == {0}
    parted = folder_of(tables, **{CUT_AT: [stamp(10.25) / 1e6, stamp(30.25) / 1e6]}).track
    assert parted is not None
    ends = parted.time_s[np.flatnonzero(np.diff(parted.segment))]
    assert ends == pytest.approx([stamp(10.05) / 1e6, stamp(30.05) / 1e6], abs=1e-5)


def test_poses_place_nothing_that_the_log_does_not_confirm():
    tables = folder(seconds=40).tables
    elsewhere = folder_of(tables, crs="nuscenes:singapore-onenorth")
    assert elsewhere.track is None
    assert not elsewhere.captured
    with pytest.raises(UnknownCrsError, match="another location"):
        elsewhere.require("sensor")
    del tables["log"]
    assert folder_of(tables).track is None
    with pytest.raises(CompanionError, match="no log"):
        folder_of(tables).require("ego_pose")
