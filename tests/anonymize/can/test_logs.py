"""Reading and writing, against python-can's own writers and readers."""

import contextlib
import io
import struct
import subprocess
import sys
import textwrap
import tracemalloc
import zlib
from datetime import UTC, datetime

import can
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymize.can.frame import FD_LENGTHS, Frame
from anonymize.can.log import CanLog, blocks
from anonymize.errors import LimitExceededError, MalformedItemError

ASC_HEAD = "date Thu Aug 02 08:34:47.250 2018\nbase hex  timestamps absolute\nno internal events logged\n"


def plain(time_ns: int) -> Frame:
    return Frame(time_ns=time_ns, channel=1, id=5, extended=False, data=bytes(8), length=8)


def error_frame(time_ns: int, channel: int = 1) -> Frame:
    return Frame(time_ns=time_ns, channel=channel, id=0, extended=False, data=b"", length=0, error=True)


def asc(*lines: str, head: str = ASC_HEAD) -> io.BytesIO:
    return io.BytesIO((head + "".join(f"{line}\n" for line in lines)).encode("latin-1"))


def frames(source: io.BytesIO, kind: str = "asc") -> list[Frame]:
    return list(CanLog(source, kind, max_frames=1000))


def test_what_python_can_writes_is_read(kit, kind):
    sent = [
        kit.message(0x123, b"\x01\x02", kit.T0, channel=1),
        kit.message(0x18FEF100, bytes(8), kit.T0 + 0.25, is_rx=False),
        kit.message(0x12, b"", kit.T0 + 0.5, is_remote_frame=True, dlc=4),
        kit.message(0, b"", kit.T0 + 0.75, is_error_frame=True),
        kit.message(
            0x77, bytes(range(48)), kit.T0 + 1, is_fd=True, bitrate_switch=True, error_state_indicator=True
        ),
        kit.message(0x78, b"", kit.T0 + 1.25, is_fd=True),
    ]
    log = CanLog(kit.log(kind, sent), kind, max_frames=100)
    found = list(log)
    assert [round(f.time_ns / 1e9, 5) for f in found] == [0, 0.25, 0.5, 0.75, 1.0, 1.25]
    assert found[0][1:6] == (2, 0x123, False, b"\x01\x02", 2)
    assert (found[1].extended, found[1].received) == (True, False)
    assert (found[2].remote, found[2].length, found[2].data) == (True, 4, b"")
    assert found[3] == error_frame(found[3].time_ns)
    assert (found[4].fd, found[4].data, found[4].bitrate_switch, found[4].error_state) == (
        True,
        bytes(range(48)),
        True,
        True,
    )
    assert (found[5].fd, found[5].remote, found[5].length) == (True, False, 0)


@st.composite
def any_frame(draw):
    fd = draw(st.booleans())
    sort = draw(st.sampled_from(["data", "remote", "error"])) if not fd else "data"
    time_ns, channel = draw(st.integers(0, 10**8)) * 1000, draw(st.integers(1, 200))
    if sort == "error":
        return error_frame(time_ns, channel)
    extended = draw(st.booleans())
    length = draw(st.sampled_from(FD_LENGTHS if fd else FD_LENGTHS[:9]))
    return Frame(
        time_ns=time_ns,
        channel=channel,
        id=draw(st.integers(0, 0x1FFFFFFF if extended else 0x7FF)),
        extended=extended,
        data=b"" if sort == "remote" else draw(st.binary(min_size=length, max_size=length)),
        length=length,
        received=draw(st.booleans()),
        remote=sort == "remote",
        fd=fd,
        bitrate_switch=fd and draw(st.booleans()),
        error_state=fd and draw(st.booleans()),
    )


@settings(max_examples=60, deadline=None)
@given(sent=st.lists(any_frame(), min_size=1, max_size=12), kind=st.sampled_from(["asc", "blf"]))
def test_what_is_written_reads_the_same_here_and_in_python_can(kit, sent, kind):
    content = kit.written(sent, kind, 1_533_198_887_250)
    found = kit.read(content, kind)
    # ASC says nothing of the direction of an error frame, BLF neither.
    assert [f._replace(received=True) if f.error else f for f in found] == [
        f._replace(received=True) if f.error else f for f in sent
    ]
    for ours, theirs in zip(sent, kit.by_library(content, kind), strict=True):
        assert theirs.is_error_frame == ours.error
        if not ours.error:
            assert theirs.arbitration_id == ours.id
            assert theirs.is_extended_id == ours.extended
            assert bytes(theirs.data) == ours.data
            assert theirs.channel == ours.channel - 1


def test_a_log_is_written_alike_each_time_and_names_nobody(kit, kind):
    sent = [plain(i * 1000) for i in range(20_000)]
    content = kit.written(sent, kind)
    assert content == kit.written(sent, kind)
    assert b"python-can" not in content
    assert str(datetime.now(tz=UTC).year).encode() not in content[:200]
    assert [f for _, part in blocks(io.BytesIO(content), kind) for f in part] == sent
    assert len(list(blocks(io.BytesIO(content), kind))) > 1


def test_the_date_of_a_log_is_known_to_the_millisecond(kit, kind):
    sent = [plain(0)]
    for start_ms in (1_533_198_887_250, None):
        log = CanLog(io.BytesIO(kit.written(sent, kind, start_ms)), kind, max_frames=9)
        assert list(log) == sent
        assert log.start_ms == start_ms


DATES = {
    "date Thu Aug 02 08:34:47.250 2018": (2018, 8, 2, 8, 34, 47, 250),
    "date Thu Aug 2 08:34:47.250 pm 2018": (2018, 8, 2, 20, 34, 47, 250),
    "date Thu Aug 2 12:34:47 am 2018": (2018, 8, 2, 0, 34, 47, 0),
    "date Don Mär 1 08:34:47.25 2018": (2018, 3, 1, 8, 34, 47, 250),
    "date Mit Okt 31 08:34:47 2018": (2018, 10, 31, 8, 34, 47, 0),
}


@pytest.mark.parametrize(("line", "parts"), DATES.items(), ids=DATES)
def test_dates_in_english_and_german_are_read(line, parts):
    log = CanLog(asc("0.0 1 12 Rx d 0", head=f"{line}\nbase hex\n"), "asc", max_frames=9)
    list(log)
    *moment, milli = parts
    assert log.start_ms == int(datetime(*moment, tzinfo=UTC).timestamp()) * 1000 + milli


def test_the_trigger_block_tells_where_time_begins():
    log = CanLog(
        asc("Begin Triggerblock Thu Aug 02 09:00:00.000 2018", "0.0 1 12 Rx d 0"), "asc", max_frames=9
    )
    list(log)
    assert log.start_ms == int(datetime(2018, 8, 2, 9, tzinfo=UTC).timestamp()) * 1000
    with pytest.raises(MalformedItemError, match="second trigger block"):
        frames(
            asc(
                "Begin Triggerblock Thu Aug 02 09:00:00.000 2018",
                "0.0 1 12 Rx d 0",
                "Begin Triggerblock Thu Aug 02 10:00:00.000 2018",
            )
        )


def test_decimal_numbers_and_relative_times_are_understood():
    head = "date Thu Aug 02 08:34:47.250 2018\nbase dec  timestamps relative\n"
    found = frames(
        asc(
            "0.5 1 18 Rx d 2 255 16",
            "0.25 CAN 1 Status:chip status error passive",
            "0.25 1 18x Rx d 0",
            head=head,
        )
    )
    assert [(f.time_ns, f.id, f.extended, f.data) for f in found] == [
        (500_000_000, 18, False, b"\xff\x10"),
        (1_000_000_000, 18, True, b""),
    ]


def test_what_is_no_frame_is_counted_and_not_carried():
    log = CanLog(
        asc(
            "// version 9.0.0",
            "Begin Triggerblock",
            "0.000 Start of measurement",
            "0.100 1  Statistic: D 0 R 0 XD 0 XR 0 E 0 O 0 B 0.00%",
            "0.200 J1939TP FEECp 6 0 0 - Rx d 17 4C 56 53",
            "0.300 SV: 2 0 1 ::GPS::lat = 39.9",
            "0.400 1  123             Rx   d 2 01 02  Length = 0 BitCount = 0 ID = 291",
            "End TriggerBlock",
        ),
        "asc",
        max_frames=9,
    )
    assert [f.data for f in log] == [b"\x01\x02"]
    assert dict(log.dropped) == {"comment": 1, "start": 1, "statistic": 1, "j1939tp": 1, "sv": 1}


BAD_ASC = {
    "a symbolic name for an identifier": ("0.0 1 EngineData Rx d 8 01 02", "cannot be read"),
    "fewer bytes than stated": ("0.0 1 12 Rx d 8 01 02", "impossible length"),
    "no byte": ("0.0 1 12 Rx d 1 1FF", "cannot be read"),
    "an identifier too large": ("0.0 1 800 Rx d 0", "impossible identifier"),
    "an extended identifier too large": ("0.0 1 20000000x Rx d 0", "impossible identifier"),
    "an FD frame of ten bytes": (
        "0.0 CANFD 1 Rx 12 0 0 9 10 " + "00 " * 10 + "0 0 1000 0 0 0 0 0",
        "impossible length",
    ),
    "an FD frame cut short": ("0.0 CANFD 1 Rx 12 0", "cannot be read"),
    "no line of the format": ("what is this", "line 4: no line"),
    "an impossible date": ("date Thu Foo 02 08:34:47 2018", "line 4: impossible date"),
    "a line too long": ("0.0 1 12 Rx d 0 " + "x" * 20_000, "line 4: too long"),
    "a time before the start": ("-1.0 1 12 Rx d 0", "no frames"),
    "channel 0": ("0.0 0 12 Rx d 0", "impossible channel"),
}


@pytest.mark.parametrize(("line", "message"), BAD_ASC.values(), ids=BAD_ASC)
def test_bad_lines_stop_the_log(line, message):
    with pytest.raises(MalformedItemError, match=message):
        frames(asc(line))


def test_a_byte_order_mark_before_the_first_line_is_no_matter():
    marked = io.BytesIO(b"\xef\xbb\xbf" + asc("0.0 1 12 Rx d 0").getvalue())
    assert len(frames(marked)) == 1


def test_times_that_go_backwards_are_kept():
    assert [f.time_ns for f in frames(asc("2.0 1 12 Rx d 0", "1.0 1 12 Rx d 0"))] == [2 * 10**9, 10**9]


def test_a_log_without_frames_and_one_with_too_many_are_refused(kit, kind):
    with pytest.raises(MalformedItemError):
        list(CanLog(kit.log(kind, []), kind, max_frames=9))
    with pytest.raises(LimitExceededError, match="at most 2"):
        list(CanLog(kit.log(kind, [kit.message(1)] * 3), kind, max_frames=2))


def whole_blf(kit) -> bytes:
    return kit.log("blf", [kit.message(0x12, bytes(8), kit.T0 + i) for i in range(100)]).getvalue()


def damaged(content: bytes, place: int, form: str, value: int) -> bytes:
    return content[:place] + struct.pack(form, value) + content[place + struct.calcsize(form) :]


BAD_BLF = {
    "another signature": lambda c: b"LOGX" + c[4:],
    "a header cut short": lambda c: c[:50],
    "a file cut short": lambda c: c[:-20],
    "a header size of 0": lambda c: damaged(c, 4, "<L", 0),
    "an impossible date": lambda c: damaged(c, 42, "<H", 77),
    "no container": lambda c: damaged(c, 144, "<L", 0),
    "a container longer than the file": lambda c: damaged(c, 144 + 8, "<L", 1 << 30),
    "a container shorter than its header": lambda c: damaged(c, 144 + 8, "<L", 20),
    "an unknown compression": lambda c: damaged(c, 160, "<H", 7),
    "a size that is not what is in it": lambda c: damaged(c, 168, "<L", 10),
    "damaged content": lambda c: damaged(c, 190, "<Q", 0xDEADBEEFDEADBEEF),
    "a frame outside of containers": lambda c: damaged(c, 144 + 12, "<L", 1),
}


@pytest.mark.parametrize("damage", BAD_BLF.values(), ids=BAD_BLF)
def test_a_damaged_blf_stops(kit, damage):
    with pytest.raises(MalformedItemError):
        frames(io.BytesIO(damage(whole_blf(kit))), "blf")


def blf_of(inner: bytes, *, stated: int | None = None) -> io.BytesIO:
    packed = zlib.compress(inner, 9)
    length = 32 + len(packed)
    head = b"LOGG" + struct.pack("<L", 144) + bytes(136)
    container = struct.pack("<4sHHLL", b"LOBJ", 16, 1, length, 10)
    container += struct.pack("<H6xL4x", 2, len(inner) if stated is None else stated)
    return io.BytesIO(head + container + packed + bytes(length % 4))


def blf_object(length: int, kind: int = 1, version: int = 1) -> bytes:
    head = struct.pack("<4sHHLLLHHQ", b"LOBJ", 32, version, length, kind, 2, 0, 0, 0)
    return head + struct.pack("<HBBL8s", 1, 0, 8, 5, bytes(8))


def test_objects_within_a_container_are_checked():
    assert len(frames(blf_of(blf_object(48)), "blf")) == 1
    for inner in (
        blf_object(20),
        blf_object(100),
        blf_object(48, version=9),
        blf_object(48) + b"rubbish" * 4,
        blf_object(48) + blf_object(48)[:30],
        blf_object(48, kind=100),
    ):
        with pytest.raises(MalformedItemError):
            frames(blf_of(inner), "blf")


def test_other_objects_are_counted_and_not_carried():
    log = CanLog(
        blf_of(blf_object(48) + blf_object(48, kind=46) + blf_object(48, kind=65)), "blf", max_frames=9
    )
    assert len(list(log)) == 1
    assert dict(log.dropped) == {"gps": 1, "app text": 1}


def test_a_container_that_unpacks_to_much_more_is_refused_before_it_fills_memory():
    bomb = blf_of(bytes(64 << 20))
    small = blf_of(bytes(64 << 20), stated=1000)
    tracemalloc.start()
    with pytest.raises(LimitExceededError, match="too large"):
        frames(bomb, "blf")
    with pytest.raises(MalformedItemError, match="more or less"):
        frames(small, "blf")
    assert tracemalloc.get_traced_memory()[1] < 16 << 20
    tracemalloc.stop()


@settings(max_examples=80, deadline=None)
@given(place=st.integers(0, 2000), value=st.integers(0, 255), kind=st.sampled_from(["asc", "blf"]))
def test_damage_anywhere_is_read_or_refused_but_nothing_else(kit, place, value, kind):
    content = bytearray(
        kit.log(kind, [kit.message(0x12, bytes(range(8)), kit.T0 + i) for i in range(40)]).getvalue()
    )
    content[place % len(content)] = value
    with contextlib.suppress(MalformedItemError, LimitExceededError):
        frames(io.BytesIO(bytes(content)), kind)


def test_reading_a_log_opens_no_socket_and_no_file(kit, kind, tmp_path):
    path = tmp_path / "log"
    path.write_bytes(kit.log(kind, [kit.message(0x12, bytes(8))]).getvalue())
    script = f"""
        import io, sys
        content = open({str(path)!r}, "rb").read()
        import anonymize.can.log as log
        seen = []
        watched = {{"open", "socket.__new__"}}
        sys.addaudithook(lambda event, args: seen.append((event, args)) if event in watched else None)
        assert len(list(log.CanLog(io.BytesIO(content), {kind!r}, max_frames=9))) == 1
        # Opening what Python imports late is allowed, nothing else is.
        assert all(e == "open" and str(a[0]).endswith((".py", ".pyc")) for e, a in seen), seen
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - our own script
    assert done.returncode == 0, done.stderr.decode()


def test_python_can_itself_would_have_read_damage_in_silence():
    """Why the structure is checked here: a log cut short is shorter to the library, not damaged."""
    inner = blf_of(blf_object(48) + blf_object(48)[:30])
    assert len(list(can.BLFReader(inner))) == 1
