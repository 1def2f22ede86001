import io
from pathlib import Path

import pytest

from anonymize.containers.open import open_container
from anonymize.containers.sniff import HEAD_BYTES, sniff_container
from anonymize.containers.stream import ContainerKind
from anonymize.errors import MalformedItemError, UnknownFormatError
from anonymize.profile import shipped_profile

LIMITS = shipped_profile("cn-2026").profile.containers
CYBER = bytes(8) + (66).to_bytes(8, "little") + bytes.fromhex("0801100018002080 90dfc04a28".replace(" ", ""))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ros1/sample.bag", ContainerKind.ROS1_BAG),
        ("ros2/talker.db3", ContainerKind.ROS2_DB3),
        ("ros2/wbag_0.db3", ContainerKind.ROS2_DB3),
        ("ros2/wbag_0.mcap", ContainerKind.MCAP),
        ("ros2/topics_and_services.mcap", ContainerKind.MCAP),
        ("cyber/example.record.00000", ContainerKind.CYBER_RECORD),
    ],
)
def test_real_containers_are_told_apart_and_opened_or_refused(
    shared_data: Path, name: str, kind: ContainerKind
) -> None:
    with (shared_data / "formats" / name).open("rb") as file:
        assert sniff_container(file.read(HEAD_BYTES)) is kind
        if kind is ContainerKind.CYBER_RECORD:
            with pytest.raises(UnknownFormatError, match="Apollo cyber records cannot be read"):
                open_container(file, kind, profile=LIMITS)
            return
        container = open_container(file, kind, profile=LIMITS)
        assert container.summary.container is kind
        assert sum(container.summary.counts.values()) == sum(1 for _ in container.messages()) > 0


def test_a_cyber_record_is_refused_in_plain_words() -> None:
    head = CYBER.ljust(2064, b"\0")
    assert sniff_container(head) is ContainerKind.CYBER_RECORD
    with pytest.raises(UnknownFormatError, match="protobuf below 6"):
        open_container(io.BytesIO(head), ContainerKind.CYBER_RECORD, profile=LIMITS)


@pytest.mark.parametrize(
    "head",
    [b"", b"\x89MCAP1\r\n", b"#ROSBAG V1.2\n", b"SQLite format 2\0", bytes(64), CYBER[:20], b"\xff\xd8\xff"],
)
def test_anything_else_is_no_container(head: bytes) -> None:
    assert sniff_container(head) is None


@pytest.mark.parametrize("kind", [k for k in ContainerKind if k is not ContainerKind.CYBER_RECORD])
def test_a_file_of_another_kind_than_named_is_refused(kind: ContainerKind) -> None:
    with pytest.raises(MalformedItemError):
        open_container(io.BytesIO(b"%PDF-1.7 " * 1000), kind, profile=LIMITS)
