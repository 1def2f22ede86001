"""What must never leave, how it could be written down, and a drive in which all of it is planted."""

import base64
import io
import json
import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import av
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from gateway.commands.demo_drive import photographs
from simulators import START

VIN = "LSVNV2187E2100001"
PLATE = "京A88F72"
RESIDENT_ID = "11010519491231002X"
PHONE = "13800138000"
DRIVER = "ZhangSan-7731"
FOLDER = f"{VIN}_{PLATE}"
HOME = (40.2345123, 116.6789123)
"""A place tens of kilometres off every route, so that no moved track comes near it by chance."""
MOMENT = START + timedelta(seconds=207)

TEXTS: Mapping[str, str] = {
    "VIN": VIN,
    "plate": PLATE,
    "plate without province": PLATE[1:],
    "resident ID": RESIDENT_ID,
    "phone": PHONE,
    "driver": DRIVER,
    "ISO time": MOMENT.strftime("%Y-%m-%dT%H:%M:%S"),
    "EXIF time": MOMENT.strftime("%Y:%m:%d %H:%M:%S"),
    "local time": (MOMENT + timedelta(hours=8)).strftime("%Y-%m-%d %H:%M:%S"),
    "date": MOMENT.strftime("%Y-%m-%d"),
    "epoch seconds": str(int(MOMENT.timestamp())),
    "latitude": f"{HOME[0]:.4f}",
    "longitude": f"{HOME[1]:.4f}",
    "front file": "front_camera_0001",
    "sweep file": "top-lidar-sweep",
    "note file": "fahrer-notizen",
}

FACES = {
    "zidane": ((910, 102, 1053, 281), (551, 264, 672, 426)),
    "bus": ((115, 419, 155, 472), (270, 424, 308, 473)),
}
"""Where people's faces are in the two photographs, measured by hand (left, top, right, bottom)."""
PLATES_AT = {"zidane": (60, 500, 240, 557), "bus": (330, 600, 450, 638)}
BACKGROUND = {"zidane": (200, 40, 420, 240), "bus": (230, 130, 400, 230)}
"""Where nothing is to be masked: it shows that pictures are compared at the same place."""


def dms(value: float) -> tuple[int, int, float]:
    degrees = int(value)
    minutes = int((value - degrees) * 60)
    return degrees, minutes, ((value - degrees) * 60 - minutes) * 60


def _rational(value: float, endian: str) -> bytes:
    degrees, minutes, seconds = dms(value)
    return struct.pack(f"{endian}6I", degrees, 1, minutes, 1, round(seconds * 10_000), 10_000)


def _written_coordinates() -> Iterator[tuple[str, str]]:
    for name, value, degrees_width in (("latitude", HOME[0], 2), ("longitude", HOME[1], 3)):
        degrees, minutes, seconds = dms(value)
        nmea = degrees * 100 + (value - degrees) * 60
        yield f"{name} NMEA", f"{nmea:0{degrees_width + 9}.6f}"[:-3]
        yield f"{name} DMS", f"{degrees}°{minutes:02d}'{int(seconds):02d}"
        yield f"{name} XMP", f"{degrees},{(value - degrees) * 60:.6f}"[:-3]
        yield f"{name} E7", str(round(value * 1e7))
        yield f"{name} E6", str(round(value * 1e6))


def _binary_coordinates() -> Iterator[tuple[str, bytes]]:
    for name, value in (("latitude", HOME[0]), ("longitude", HOME[1])):
        for endian, order in (("<", "little"), (">", "big")):
            yield f"{name} float64 {order}", struct.pack(f"{endian}d", value)
            yield f"{name} radians {order}", struct.pack(f"{endian}d", math.radians(value))
            yield f"{name} rationals {order}", _rational(value, endian)
            yield f"{name} float32 {order}", struct.pack(f"{endian}f", value)
            yield f"{name} E7 int32 {order}", struct.pack(f"{endian}i", round(value * 1e7))


def _encoded(text: str) -> Iterator[tuple[str, bytes]]:
    for codec in ("utf-8", "utf-16-le", "utf-16-be", "gb18030", "utf-32-le", "utf-32-be"):
        raw = text.encode(codec)
        yield codec, raw
        yield f"{codec} hex", raw.hex().encode()
        yield f"{codec} HEX", raw.hex().upper().encode()
        for shift in range(3):
            # Whatever stands before and after, these characters of the base64 text are always the same.
            padded = base64.b64encode(b"\x00" * shift + raw)
            inner = padded[-(-shift * 8 // 6) : (shift + len(raw)) * 8 // 6]
            yield f"{codec} base64+{shift}", inner
            yield f"{codec} base64url+{shift}", inner.translate(bytes.maketrans(b"+/", b"-_"))
    yield "percent", quote(text, safe="").encode()
    yield "JSON escapes", json.dumps(text)[1:-1].encode()
    yield "XML references", text.encode("ascii", "xmlcharrefreplace")
    yield "reversed", text[::-1].encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Needle:
    """One way in which one canary could be written."""

    canary: str
    encoding: str
    pattern: bytes


def needles() -> tuple[Needle, ...]:
    """Every canary in every encoding, each pattern once."""
    found: dict[bytes, Needle] = {}
    for canary, text in (*TEXTS.items(), *_written_coordinates()):
        for encoding, pattern in _encoded(text):
            found.setdefault(pattern, Needle(canary=canary, encoding=encoding, pattern=pattern))
    for canary, pattern in _binary_coordinates():
        found.setdefault(pattern, Needle(canary=canary, encoding="binary", pattern=pattern))
        for encoding, again in (("hex", pattern.hex().encode()), ("base64", base64.b64encode(pattern)[:-4])):
            if len(again) >= LONG:
                found.setdefault(again, Needle(canary=canary, encoding=encoding, pattern=again))
    preview = thumbnail()
    scan = preview[preview.index(b"\xff\xda") :]
    for at in range(0, len(scan) - 24, 24):
        pattern = scan[at : at + 24]
        found.setdefault(pattern, Needle(canary="thumbnail", encoding=f"bytes at {at}", pattern=pattern))
    return tuple(found.values())


LONG = 6
"""Bytes of a pattern that does not occur by chance in megabytes of sealed or compressed data."""


def search(content: bytes, wanted: tuple[Needle, ...], *, least: int = 4) -> list[tuple[str, str]]:
    """Which canaries occur, each with its encoding; patterns shorter than ``least`` bytes are not tried."""
    return [(n.canary, n.encoding) for n in wanted if len(n.pattern) >= least and n.pattern in content]


def thumbnail() -> bytes:
    """A preview that looks like nothing else: a magenta and green chessboard."""
    board = np.kron(np.indices((6, 8)).sum(0) % 2, np.ones((20, 20), dtype=np.int64))
    colours = np.array([[255, 0, 255], [0, 160, 0]], dtype=np.uint8)
    noise = np.random.default_rng(5).integers(0, 24, (*board.shape, 3))
    out = io.BytesIO()
    pixels = np.clip(colours[board].astype(np.int64) + noise - 12, 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(out, "JPEG", quality=70)
    return out.getvalue()


def _directory(entries: list[tuple[int, int, int, bytes]], at: int, following: int) -> bytes:
    """A TIFF directory at an offset, values longer than four bytes right behind it."""
    head = struct.pack("<H", len(entries))
    behind = at + 2 + 12 * len(entries) + 4
    values = b""
    for tag, kind, count, value in sorted(entries):
        field = value.ljust(4, b"\0") if len(value) <= 4 else struct.pack("<I", behind + len(values))
        head += struct.pack("<HHI", tag, kind, count) + field
        values += value if len(value) > 4 else b""
        values += b"\0" * (len(values) % 2)
    return head + struct.pack("<I", following) + values


def _ascii(tag: int, text: str) -> tuple[int, int, int, bytes]:
    value = text.encode() + b"\0"
    return tag, 2, len(value), value


def exif() -> bytes:
    """EXIF with a serial number, a moment, a position and an unmasked preview."""
    long_ = struct.Struct("<I").pack
    detail = [_ascii(0x9003, TEXTS["EXIF time"]), _ascii(0x9011, "+00:00"), _ascii(0xA431, VIN)]
    position = [
        _ascii(1, "N"),
        (2, 5, 3, _rational(HOME[0], "<")),
        _ascii(3, "E"),
        (4, 5, 3, _rational(HOME[1], "<")),
        _ascii(0x1D, MOMENT.strftime("%Y:%m:%d")),
    ]
    main = [_ascii(0x010F, "Camera"), _ascii(0x0131, f"unit {VIN}"), _ascii(0x013B, DRIVER)]
    preview = thumbnail()
    sizes = [len(_directory([*main, (0x8769, 4, 1, long_(0)), (0x8825, 4, 1, long_(0))], 8, 0))]
    sizes += [len(_directory(detail, 0, 0)), len(_directory(position, 0, 0))]
    at = [8, 8 + sizes[0], 8 + sum(sizes[:2]), 8 + sum(sizes)]
    pictures = [(0x0201, 4, 1, long_(0)), (0x0202, 4, 1, long_(len(preview)))]
    behind = at[3] + len(_directory(pictures, at[3], 0))
    pictures[0] = (0x0201, 4, 1, long_(behind))
    return b"".join(
        (
            b"Exif\0\0II*\0" + long_(8),
            _directory([*main, (0x8769, 4, 1, long_(at[1])), (0x8825, 4, 1, long_(at[2]))], 8, at[3]),
            _directory(detail, at[1], 0),
            _directory(position, at[2], 0),
            _directory(pictures, at[3], 0),
            preview,
        )
    )


def xmp() -> bytes:
    (lat, lat_minutes), (lon, lon_minutes) = ((int(v), (v - int(v)) * 60) for v in HOME)
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description xmlns:exif="http://ns.adobe.com/exif/1.0/" exif:GPSLatitude="{lat},{lat_minutes:.6f}N" '
        f'exif:GPSLongitude="{lon},{lon_minutes:.6f}E" vin="{VIN}" plate="{PLATE}"/></rdf:RDF></x:xmpmeta>'
    ).encode()


def _segment(marker: int, payload: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(payload) + 2) + payload


def rendered_plate(width: int, height: int) -> Image.Image:
    plate = Image.new("RGB", (440, 140), (20, 70, 170))
    draw = ImageDraw.Draw(plate)
    draw.rounded_rectangle((6, 6, 433, 133), 12, outline=(235, 235, 235), width=4)
    draw.text((220, 70), PLATE[1:], fill=(235, 235, 235), font=ImageFont.load_default(size=100), anchor="mm")
    return plate.resize((width, height), Image.Resampling.LANCZOS)


def frame(which: str) -> bytes:
    """A photograph with faces and a plate in its pixels, and everything else around them."""
    source = photographs()[["bus", "zidane"].index(which)]
    left, top, right, bottom = PLATES_AT[which]
    with Image.open(io.BytesIO(source)) as opened:
        picture = opened.convert("RGB")
    picture.paste(rendered_plate(right - left, bottom - top), (left, top))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=95)
    content = out.getvalue()
    around = (
        _segment(0xE1, exif())
        + _segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp())
        + _segment(0xFE, f"{VIN} {PLATE}".encode())
        + _segment(0xEC, f"{DRIVER} {HOME[0]:.7f},{HOME[1]:.7f}".encode())
    )
    return content[:2] + around + content[2:] + thumbnail()


def small_png(seed: int) -> bytes:
    info = PngInfo()
    info.add_text("Comment", f"{VIN} {HOME[0]:.7f} {HOME[1]:.7f}")
    info.add_itxt("XML:com.adobe.xmp", xmp().decode())
    gradient = np.linspace(60 + seed, 180, 64, dtype=np.uint8)[None, :, None].repeat(48, 0).repeat(3, 2)
    out = io.BytesIO()
    Image.fromarray(gradient).save(out, "PNG", pnginfo=info, exif=exif())
    return out.getvalue()


def clip(seed: int) -> bytes:
    """A video with a position, a moment, names and a tone in it, and more of them behind its end."""
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as container:
        container.metadata["location"] = f"{HOME[0]:+08.4f}{HOME[1]:+09.4f}/"
        container.metadata["creation_time"] = MOMENT.isoformat()
        container.metadata["comment"], container.metadata["artist"] = f"{VIN} {PLATE}", DRIVER
        stream, tone = (
            container.add_stream("libx264", rate=2),
            container.add_stream("aac", rate=16000, layout="mono"),
        )
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        ramp = np.linspace(60 + seed, 180, 128, dtype=np.uint8)[None, :, None].repeat(96, 0).repeat(3, 2)
        for _ in range(4):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(ramp, format="rgb24")))
        container.mux(stream.encode(None))
        wave = np.sin(np.arange(4096, dtype=np.float32) / 7)[None]
        sound = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
        sound.sample_rate = 16000
        container.mux(tone.encode(sound))
        container.mux(tone.encode(None))
    telemetry = (
        f"GPMF {DRIVER} {HOME[0]:.7f},{HOME[1]:.7f} {TEXTS['ISO time']}".encode() + xmp() + thumbnail()
    )
    return out.getvalue() + struct.pack(">I", 8 + len(telemetry)) + b"free" + telemetry


def route(origin: tuple[float, float], count: int = 500) -> list[tuple[float, float]]:
    """A city drive of about six kilometres with turns."""
    lat, lon = origin
    heading, found = math.radians(80.0), []
    for second in range(count):
        if second and second % 100 == 0:
            heading += math.radians(90.0 if (second // 100) % 2 else -90.0)
        lat += 12.0 * math.cos(heading) / 111_320
        lon += 12.0 * math.sin(heading) / (111_320 * math.cos(math.radians(lat)))
        found.append((lat, lon))
    return found


def _time(second: int) -> str:
    return (START + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%SZ")


def gpx(fixes: list[tuple[float, float]]) -> bytes:
    points = "".join(
        f'<trkpt lat="{lat:.7f}" lon="{lon:.7f}"><ele>48.5</ele><time>{_time(i)}</time>'
        f"<cmt>{VIN}</cmt></trkpt>"
        for i, (lat, lon) in enumerate(fixes)
    )
    return (
        f'<?xml version="1.0"?><!-- {DRIVER} --><gpx version="1.1" creator="{VIN}" '
        'xmlns="http://www.topografix.com/GPX/1/1">'
        f"<metadata><name>{PLATE}</name><author><name>{DRIVER}</name></author></metadata>"
        f'<wpt lat="{HOME[0]:.7f}" lon="{HOME[1]:.7f}"><name>{DRIVER} {PHONE}</name></wpt>'
        f"<trk><name>{VIN}</name><trkseg>{points}</trkseg></trk></gpx>"
    ).encode()


def csv(fixes: list[tuple[float, float]]) -> bytes:
    rows = ["time,lat,lon,speed,vehicle,driver,note"]
    note = f'"{HOME[0]:.7f},{HOME[1]:.7f} {PHONE} {PLATE}"'
    rows += [
        f"{_time(i)},{lat:.7f},{lon:.7f},12.0,{VIN},{RESIDENT_ID},{note}"
        for i, (lat, lon) in enumerate(fixes)
    ]
    return ("\n".join(rows) + "\n").encode()


def metadata(seed: int) -> bytes:
    return json.dumps(
        {
            "vin": VIN,
            "vehicle": {"plate": PLATE, "VehicleIdentification": VIN},
            "driver": {"name": DRIVER, "resident_id": RESIDENT_ID, "phone": PHONE},
            "home": {"lat": HOME[0], "lon": HOME[1]},
            "home_e7": [round(HOME[0] * 1e7), round(HOME[1] * 1e7)],
            "captured": TEXTS["ISO time"] + "Z",
            "captured_s": int(MOMENT.timestamp()),
            "weather": "rain",
            "fps": 10 + seed,
            "notes": f"Handover at {HOME[0]:.7f}, {HOME[1]:.7f} at {TEXTS['ISO time']}Z; car {PLATE}, VIN {VIN}, "
            f"call {PHONE}, id {RESIDENT_ID}, see {FOLDER}/0001",
        },
        ensure_ascii=False,
    ).encode()


def notes(seed: int) -> bytes:
    degrees = [dms(value) for value in HOME]
    spelt = " ".join(f"{d}°{m:02d}'{s:04.1f}\"{side}" for (d, m, s), side in zip(degrees, "NE", strict=True))
    return (
        f"行车记录：身份证号{RESIDENT_ID}，电话{PHONE}。\n"
        f"车架号 {VIN}，车牌 {PLATE}。位置：北纬{HOME[0]:.6f}，东经{HOME[1]:.6f}；GPS {spelt}\n"
        f"时间 {TEXTS['local time']}，UTC {TEXTS['ISO time']}Z，时间戳 {TEXTS['epoch seconds']}。\n"
        f"天气晴，城市道路，车道{seed + 2}。\n"
    ).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantedDrive:
    """A drive with canaries in every place that a file of its kind has."""

    photograph: str
    fixes: list[tuple[float, float]]
    files: Mapping[str, bytes]
    captured: Mapping[str, datetime]


def planted_drive(photograph: str, seed: int, *, captured: datetime = MOMENT) -> PlantedDrive:
    fixes = route((39.90 + 0.03 * seed, 116.35))
    points = np.random.default_rng(seed).uniform(-40, 40, (4000, 4))
    points[:, 2:] = np.random.default_rng(seed + 9).uniform(0, 1, (4000, 2))
    sweep, video = f"{FOLDER}/top-lidar-sweep.bin", f"{FOLDER}/front_camera_0001.mp4"
    files = {
        f"{FOLDER}/front_camera_0001.jpg": frame(photograph),
        f"{FOLDER}/front_camera_0001.png": small_png(seed),
        video: clip(seed),
        f"{FOLDER}/{VIN}.gpx": gpx(fixes),
        f"{FOLDER}/{PLATE}.csv": csv(fixes),
        f"{FOLDER}/{DRIVER}.json": metadata(seed),
        f"{FOLDER}/fahrer-notizen.txt": notes(seed),
        f"{FOLDER}/mentions.txt": f"See front_camera_0001.jpg, top-lidar-sweep.bin, lane {seed}.\n".encode(),
        sweep: points.astype("<f4").tobytes(),
        f"{FOLDER}/radar.raw": b"\x00\xff\xfe" + notes(seed) + b"\x00\x01",
    }
    assert MOMENT.tzinfo is UTC
    return PlantedDrive(
        photograph=photograph, fixes=fixes, files=files, captured={sweep: captured, video: captured}
    )
