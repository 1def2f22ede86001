"""Every output of a release is searched for positions and identifiers, whatever its kind."""

import re
import struct
import xml.etree.ElementTree as ET

import laspy
import numpy as np
import pytest
from PIL import Image
from pyproj import Transformer

from anonymize.errors import ResidualError
from anonymize.finding import FindingKind
from anonymize.geo.public_formulas import geodetic
from anonymize.geo.released_scan import ReleasedScan, scan_released
from anonymize.residual import ResidualReport

VIN = "LSVAU2180N2183294"


def scan(content: bytes, lat: object, lon: object, **known: object) -> ResidualReport:
    return scan_released([content], media_type="application/octet-stream", lat=lat, lon=lon, **known)


def test_a_report_names_its_scanners_and_what_they_searched(drive):
    track = drive(fixes=300)
    content = f"at {track.lat[7]:.6f},{track.lon[7]:.6f} by {VIN}\n".encode()
    report = scan_released(
        iter([content[:20], content[20:]]), media_type="text/plain", lat=track.lat, lon=track.lon, vins=[VIN]
    )
    assert report.scanners == ("positions@2", "identifiers@2")
    assert {f.kind for f in report.residual} == {FindingKind.POSITION, FindingKind.VIN}
    assert report.facts == {
        "media_type": "text/plain",
        "bytes": len(content),
        "fixes": 300,
        "shown": 0,
        "strings": 1,
    }


def test_clean_outputs_are_clean_and_one_preparation_serves_many(drive):
    track = drive(fixes=300)
    prepared = ReleasedScan(lat=track.lat, lon=track.lon, vins=[VIN], planted=["drive_0815"])
    for content in (
        b"clip,t_s,x_m,y_m\n0,0.0,1.250,-3.114\n",
        bytes(1000),
        b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
    ):
        assert prepared.scan([content], media_type="text/csv").clean
    assert not prepared.scan([b"see DRIVE_0815.mcap"], media_type="text/plain").clean


def test_nothing_to_search_is_an_error():
    with pytest.raises(ResidualError, match="has content"):
        scan(b"", [39.9], [116.3])


def test_strings_are_searched_without_fixes():
    assert [f.kind for f in scan(VIN.encode(), [], [], vins=[VIN]).residual] == [FindingKind.VIN]


def test_positions_of_real_photographs_are_found_in_their_exif(shared_data):
    for name in ("DSCN0010.jpg", "DSCN0012.jpg"):
        path = shared_data / "formats/exif" / name
        with Image.open(path) as image:
            gps = image.getexif().get_ifd(0x8825)
        lat, lon = (sum(float(part) / 60**k for k, part in enumerate(gps[tag])) for tag in (2, 4))
        assert "rationals" in {f.label for f in scan(path.read_bytes(), [lat], [lon]).residual}
        assert scan(path.read_bytes(), [lat + 0.001], [lon]).clean


def test_a_real_gpx_log_and_an_nmea_log_are_found(shared_data):
    content = (shared_data / "formats/gpx/korita-zbevnica.gpx").read_bytes()
    points = [p.attrib for p in ET.fromstring(content).iter() if p.tag.endswith("trkpt")]  # noqa: S314 - our sample
    lat, lon = (np.array([float(p[name]) for p in points]) for name in ("lat", "lon"))
    assert len(scan(content, lat, lon).residual) > 200
    assert scan(content, lat + 1.0, lon + 1.0).clean
    sentence = (shared_data / "formats/nmea/data.log").read_bytes()
    found = scan(sentence, [-(19 + 29.045 / 60)], [24 + 10.506 / 60]).residual
    assert {f.label for f in found} == {"nmea"}


def test_earth_centred_poses_of_a_real_drive_are_found(shared_data):
    (folder,) = (shared_data / "formats/comma2k19").glob("*/*/*/global_pose")
    content = (folder / "frame_positions").read_bytes()
    lat, lon, _ = geodetic(*np.load(folder / "frame_positions").T)
    found = scan(content, lat[::20], lon[::20])
    assert "float64 earth-centred" in {f.label for f in found.residual}
    assert scan(content, lat[::20] + 0.01, lon[::20]).clean


def test_the_gnss_stream_of_a_real_video_is_found_among_its_pictures(shared_data):
    content = (shared_data / "formats/mp4/max-heromode.mp4").read_bytes()
    rows = []
    for match in re.finditer(b"GPS5l\x14", content):
        (count,) = struct.unpack_from(">H", content, match.end())
        rows += [struct.unpack_from(">2i", content, match.end() + 2 + 20 * k) for k in range(count)]
    lat, lon = np.array(rows).T / 1e7
    found = scan(content, lat, lon).residual
    assert "int32 e7" in {f.label for f in found}
    assert len(found) >= len(rows)
    assert scan(content, lat + 0.05, lon).clean


def test_coordinates_of_a_real_point_cloud_are_found_once_they_are_decoded(shared_data):
    path = shared_data / "formats/las/autzen_trim.laz"
    cloud = laspy.read(path)
    to_degrees = Transformer.from_crs(cloud.header.parse_crs(), 4326, always_xy=True)
    lon, lat = to_degrees.transform(np.asarray(cloud.x)[::1000], np.asarray(cloud.y)[::1000])
    east, north = Transformer.from_crs(4326, 32610, always_xy=True).transform(lon, lat)
    decoded = np.column_stack((east, north)).tobytes()
    assert {f.label for f in scan(decoded, lat, lon).residual} == {"float64 utm"}
    # Compressed, nothing can be read: the caller has to decode.
    assert scan(path.read_bytes(), lat, lon).clean
