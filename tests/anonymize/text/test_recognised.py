"""What the analyzer finds, and what it leaves alone."""

import itertools

import pytest

from anonymize.errors import LimitExceededError
from anonymize.finding import FindingKind as K
from anonymize.finding import TextSpan
from anonymize.text import person_names, recognizers

FOUND = {
    "resident_id": ("证件 11010519491231002X 已登记", K.RESIDENT_ID, "11010519491231002X"),
    "resident_id_lower_x": ("id 11010519491231002x", K.RESIDENT_ID, "11010519491231002x"),
    "resident_id_spaced": ("110105 19491231 002X", K.RESIDENT_ID, "110105 19491231 002X"),
    "resident_id_full_width": (
        "号码１１０１０５１９４９１２３１００２Ｘ。",
        K.RESIDENT_ID,
        "１１０１０５１９４９１２３１００２Ｘ",
    ),
    "resident_id_zero_width": ("1101051949\u200b1231002X", K.RESIDENT_ID, "1101051949\u200b1231002X"),
    "resident_id_15": ("旧证 110105491231002", K.RESIDENT_ID, "110105491231002"),
    "resident_id_mistyped_in_context": ("身份证：110105194912310021", K.RESIDENT_ID, "110105194912310021"),
    "passport": ("护照号 E12345678", K.RESIDENT_ID, "E12345678"),
    "mobile": ("拨打13800138000联系", K.PHONE, "13800138000"),
    "mobile_grouped": ("138 0013 8000", K.PHONE, "138 0013 8000"),
    "mobile_dashed": ("tel 138-0013-8000", K.PHONE, "138-0013-8000"),
    "mobile_prefixed": ("+86 13800138000", K.PHONE, "+86 13800138000"),
    "mobile_digit_by_digit": ("1 3 8 0 0 1 3 8 0 0 0", K.PHONE, "1 3 8 0 0 1 3 8 0 0 0"),
    "mobile_full_width": ("手机１３８００１３８０００", K.PHONE, "１３８００１３８０００"),
    "mobile_arabic_digits": ("١٣٨٠٠١٣٨٠٠٠", K.PHONE, "١٣٨٠٠١٣٨٠٠٠"),
    "landline": ("电话 010-62345678", K.PHONE, "010-62345678"),
    "landline_brackets": ("(0755) 8234 5678", K.PHONE, "(0755) 8234 5678"),
    "landline_extension": ("021-5888 1234 转 802", K.PHONE, "021-5888 1234 转 802"),
    "hotline": ("客服热线 400-810-8888", K.PHONE, "400-810-8888"),
    "international": ("call +49 30 901820", K.PHONE, "+49 30 901820"),
    "north_american": ("(415) 555-2671", K.PHONE, "(415) 555-2671"),
    "email": ("发到zhang.san@example.com请查收", K.EMAIL, "zhang.san@example.com"),
    "email_chinese_domain": ("li@例子.中国", K.EMAIL, "li@例子.中国"),
    "wechat": ("微信号：wx_zhang88", K.EMAIL, "wx_zhang88"),
    "bank_card": ("6222 0212 3456 7890 128", K.BANK_CARD, "6222 0212 3456 7890 128"),
    "bank_card_visa": ("paid with 4111111111111111", K.BANK_CARD, "4111111111111111"),
    "iban": ("DE89 3704 0044 0532 0130 00", K.BANK_CARD, "DE89 3704 0044 0532 0130 00"),
    "credit_code": ("公司 91110000802100433B 签约", K.ORGANISATION_CODE, "91110000802100433B"),
    "plate": ("跟随京A12345行驶", K.PLATE, "京A12345"),
    "plate_dot": ("京A·12345", K.PLATE, "京A·12345"),
    "plate_other_dot": ("粤B•8K999", K.PLATE, "粤B•8K999"),
    "plate_dash": ("苏A-75976", K.PLATE, "苏A-75976"),
    "plate_lower": ("川aGU052", K.PLATE, "川aGU052"),
    "plate_full_width": ("浙Ａ８８８８８", K.PLATE, "浙Ａ８８８８８"),
    "plate_spaced": ("湘 A 5 R M 8 7", K.PLATE, "湘 A 5 R M 8 7"),
    "plate_new_energy_small": ("沪AD12345", K.PLATE, "沪AD12345"),
    "plate_new_energy_large": ("沪A12345D", K.PLATE, "沪A12345D"),
    "plate_police": ("京A1234警", K.PLATE, "京A1234警"),
    "plate_trainer": ("皖A1234学", K.PLATE, "皖A1234学"),
    "plate_trailer": ("鲁B1234挂", K.PLATE, "鲁B1234挂"),
    "plate_hong_kong": ("粤Z1234港", K.PLATE, "粤Z1234港"),
    "plate_macau": ("粤Z·1234澳", K.PLATE, "粤Z·1234澳"),
    "plate_emergency": ("京X1234应急", K.PLATE, "京X1234应急"),
    "plate_embassy": ("使014578", K.PLATE, "使014578"),
    "plate_consulate": ("沪A1234领", K.PLATE, "沪A1234领"),
    "plate_armed_police": ("WJ京12345", K.PLATE, "WJ京12345"),
    "plate_military": ("VA·12345", K.PLATE, "VA·12345"),
    "plate_foreign": ("license plate: B-MW 1234", K.PLATE, "B-MW 1234"),
    "vin": ("1HGCM82633A004352", K.VIN, "1HGCM82633A004352"),
    "vin_lower": ("1hgcm82633a004352", K.VIN, "1hgcm82633a004352"),
    "vin_in_prose": ("车架号为1HGCM82633A004352的车辆", K.VIN, "1HGCM82633A004352"),
    "vin_grouped": ("1HGCM-82633A-004352", K.VIN, "1HGCM-82633A-004352"),
    "vin_european": ("WVWZZZ1JZXW000001", K.VIN, "WVWZZZ1JZXW000001"),
    "vin_mistyped_in_context": ("VIN: 1HGCM82633A004353", K.VIN, "1HGCM82633A004353"),
    "ipv4": ("host 10.23.4.5 replied", K.IP_ADDRESS, "10.23.4.5"),
    "ipv6": ("from 2001:db8::8a2e:370:7334", K.IP_ADDRESS, "2001:db8::8a2e:370:7334"),
    "mac": ("00:1A:2B:3C:4D:5E", K.DEVICE_ID, "00:1A:2B:3C:4D:5E"),
    "mac_bare": ("MAC 001A2B3C4D5E", K.DEVICE_ID, "001A2B3C4D5E"),
    "imei": ("IMEI 490154203237518", K.DEVICE_ID, "490154203237518"),
    "serial": ("序列号：SN-20A7X993", K.DEVICE_ID, "SN-20A7X993"),
    "device_id": ("device_id=TBOX0012345", K.DEVICE_ID, "TBOX0012345"),
    "uuid": ("run 123e4567-e89b-12d3-a456-426614174000", K.DEVICE_ID, "123e4567-e89b-12d3-a456-426614174000"),
    "pair": ("39.904211, 116.407395", K.POSITION, "39.904211, 116.407395"),
    "pair_reversed": ("(116.407395,39.904211)", K.POSITION, "116.407395,39.904211"),
    "pair_full_width_comma": ("坐标：39.904211，116.407395。", K.POSITION, "39.904211，116.407395"),
    "pair_coarse_in_context": ("坐标 39.90, 116.40", K.POSITION, "39.90, 116.40"),
    "pair_southern": ("at -33.856784, 151.215297", K.POSITION, "-33.856784, 151.215297"),
    "pair_spaced": ("39.904211 116.407395", K.POSITION, "39.904211 116.407395"),
    "pair_in_row": ("39.984702,116.318417,0,492,a", K.POSITION, "39.984702,116.318417"),
    "labelled": ("lat: 39.904211", K.POSITION, "39.904211"),
    "labelled_json": ('"longitude": 116.4', K.POSITION, "116.4"),
    "labelled_chinese": ("东经116.4074度", K.POSITION, "116.4074"),
    "dms": ("39°54'15.2\"N", K.POSITION, "39°54'15.2\"N"),
    "dms_typographic": ("39°54′15.2″N", K.POSITION, "39°54′15.2″N"),
    "dms_chinese": ("北纬39度54分15秒", K.POSITION, "39度54分15秒"),
    "nmea_gga": (
        "$GPGGA,184353.07,1929.045,S,02410.506,E,1,04,2.6,100.00,M,-33.9,M,,0000*6D",
        K.POSITION,
        "$GPGGA,184353.07,1929.045,S,02410.506,E,1,04,2.6,100.00,M,-33.9,M,,0000*6D",
    ),
    "nmea_rmc": (
        "log: $GNRMC,083015.00,A,3954.2527,N,11624.4437,E,0.0,,010524,,,A*6C",
        K.POSITION,
        "$GNRMC,083015.00,A,3954.2527,N,11624.4437,E,0.0,,010524,,,A*6C",
    ),
    "e7": ("lat_e7 399042110", K.POSITION, "399042110"),
    "wkt": ("POINT (116.4 39.9)", K.POSITION, "POINT (116.4 39.9)"),
    "map_link": ("https://maps.example/@39.90,116.40,15z", K.POSITION, "39.90,116.40"),
    "utm": ("easting 448262.1", K.POSITION, "448262.1"),
    "plus_code": ("8PFRW95W+X2", K.POSITION, "8PFRW95W+X2"),
    "iso_date": ("2024-05-01", K.TIMESTAMP, "2024-05-01"),
    "iso_instant": ("2024-05-01T08:30:15.123+08:00", K.TIMESTAMP, "2024-05-01T08:30:15.123+08:00"),
    "chinese_date": ("2024年5月1日上午8点30分", K.TIMESTAMP, "2024年5月1日上午8点30分"),
    "english_date": ("May 1, 2024 at 08:30", K.TIMESTAMP, "May 1, 2024 at 08:30"),
    "log_date": ("Jan  6 08:00:01 host", K.TIMESTAMP, "Jan  6 08:00:01"),
    "compact": ("rec_20240501_083015.bag", K.TIMESTAMP, "20240501_083015"),
    "epoch_ms": ("1714552215123", K.TIMESTAMP, "1714552215123"),
    "epoch_ns": ("1714552215123456789", K.TIMESTAMP, "1714552215123456789"),
    "epoch_s_in_table": ("t,speed\n1714552215,12.5\n", K.TIMESTAMP, "1714552215"),
    "epoch_s_in_context": ("timestamp 1714552215", K.TIMESTAMP, "1714552215"),
    "name_labelled": ("驾驶员：王小明", K.PERSON_NAME, "王小明"),
    "name_adjacent": ("驾驶员王小明，天气晴", K.PERSON_NAME, "王小明"),
    "name_compound": ("联系人 欧阳震华", K.PERSON_NAME, "欧阳震华"),
    "name_in_prose": ("刘德华在路口等待", K.PERSON_NAME, "刘德华"),
    "name_titled": ("找到张伟先生", K.PERSON_NAME, "张伟"),
    "name_spaced": ("姓名：王 伟", K.PERSON_NAME, "王 伟"),
    "name_foreign": ("约翰·史密斯", K.PERSON_NAME, "约翰·史密斯"),
    "name_english": ("Driver: John Smith", K.PERSON_NAME, "John Smith"),
    "name_english_title": ("spoke to Mrs. Jane Doe", K.PERSON_NAME, "Jane Doe"),
    "address": ("北京市海淀区中关村大街27号", K.ADDRESS, "北京市海淀区中关村大街27号"),
    "address_flat": ("阳光花园3栋2单元501室", K.ADDRESS, "阳光花园3栋2单元501室"),
    "address_administrative": ("江苏省南京市鼓楼区", K.ADDRESS, "江苏省南京市鼓楼区"),
    "address_english": ("at 221B Baker Street today", K.ADDRESS, "221B Baker Street"),
    "address_german": ("Hauptstraße 12", K.ADDRESS, "Hauptstraße 12"),
}

LEFT_ALONE = {
    "resident_id_one_off": "编号 110105194912310021 完",
    "resident_id_bad_date": "110105194913310023",
    "card_one_off": "6222021234567890129",
    "credit_code_one_off": "91110000802100433C",
    "vin_one_off": "1HGCM82633A004353",
    "mobile_too_short": "编号1380013800",
    "mobile_too_long": "138001380001",
    "mobile_in_decimal": "0.13800138000",
    "version": "版本 2.2.366",
    "version_of_four": "version 1.2.3.4",
    "resolution": "1920x1080@30fps",
    "scope": "std::vector a::b",
    "clock": "用时 00:12:31",
    "prose_zh": "本数据集包含城市道路、高速公路等场景，雨天路面湿滑，行人较多，前方车辆缓行，车道线清晰。",
    "prose_zh_events": "车辆左转通过路口，随后在人行横道前停车礼让行人，转绿后继续直行，安全员全程未接管。",
    "prose_zh_names": "康复医院门口行人密集，索尼相机同步，马路边有花坛，向左转弯，于是减速。",
    "prose_en": "The vehicle turned left at the crossing and stopped behind a parked truck in light rain.",
    "new_model": "新CAMERA标定完成",
    "intrinsics": "721.5377,609.5593",
    "distortion": "-0.369112, 0.196845, 0.001348, -0.000607",
    "rotation": "0.999976 0.007553 -0.002036",
    "kitti_label": "Truck 0.00 0 -1.57 599.41 156.40 629.75 189.25 2.85 2.63 12.34 0.47 1.49 69.44 -1.56",
    "kitti_calibration": "P2: 7.215377000000e+02 0.000000000000e+00 6.095593000000e+02 4.485728000000e+01",
    "small_numbers": "rotation 2.3308445025757263e-09, 2.1296819499142417E-11, -1.8792209207738454e-15",
    "digest": "sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "speed": "速度 12.5 m/s，加速度 0.35 m/s2",
    "placeholder": "<PHONE> 与 <RESIDENT_ID>",
}


@pytest.mark.parametrize("case", FOUND.values(), ids=FOUND.keys())
def test_is_found(analyzer, case):
    text, kind, expected = case
    found = [(finding.kind, text[finding.where.start : finding.where.end]) for finding in analyzer.find(text)]
    assert (kind, expected) in found


@pytest.mark.parametrize("text", LEFT_ALONE.values(), ids=LEFT_ALONE.keys())
def test_is_left_alone(analyzer, text):
    assert [(f.label, text[f.where.start : f.where.end]) for f in analyzer.find(text)] == []


def test_findings_are_disjoint_ordered_and_cover_the_union(analyzer):
    text = "地址北京市海淀区中关村大街27号，电话13800138000，身份证110105 19491231 002X，卡4111111111111111"
    spans = [finding.where for finding in analyzer.find(text)]
    assert all(isinstance(span, TextSpan) for span in spans)
    assert all(a.end <= b.start for a, b in itertools.pairwise(spans))


def test_a_resident_id_outranks_a_card(analyzer):
    # 18 digits that are both a valid identity number and pass Luhn.
    number = next(n for n in _resident_ids() if _luhn(n))
    assert [finding.kind for finding in analyzer.find(f"银行卡号 {number}")] == [K.RESIDENT_ID]


def test_long_lines_are_searched_everywhere(analyzer):
    filler = "ordinary words and no numbers, " * 260
    text = "".join(f"{filler}1380013{i:04d} " for i in range(20))
    assert len(text) > 100_000
    found = [text[f.where.start : f.where.end] for f in analyzer.find(text)]
    assert found == [f"1380013{i:04d}" for i in range(20)]


def test_every_offset_across_a_window_edge_is_found(analyzer):
    for shift in range(0, 1100, 37):
        text = "x " * ((8192 - shift) // 2) + "13800138000 " + "y " * 3000
        found = [text[f.where.start : f.where.end] for f in analyzer.find(text)]
        assert found == ["13800138000"], shift


def test_names_are_found_throughout_long_runs_of_characters(analyzer):
    text = "车辆通过路口" * 100 + "刘德华" + "在路口等待" * 100
    assert [text[f.where.start : f.where.end] for f in analyzer.find(text)] == ["刘德华"]


def test_a_search_that_takes_too_long_is_refused(analyzer, monkeypatch):
    """Law 5: what cannot be searched is not passed on unsearched."""
    monkeypatch.setattr(person_names, "TIME_LIMIT_S", -1.0)
    with pytest.raises(LimitExceededError, match="too long"):
        analyzer.find("雨天路面湿滑")


def test_a_rule_that_takes_too_long_is_not_skipped(monkeypatch):
    """Law 5: Presidio's own recogniser would skip it."""
    monkeypatch.setattr(recognizers, "TIME_LIMIT_S", 1e-9)
    rule = next(rule for rule in recognizers.RULES if rule.name == "mobile")
    with pytest.raises(LimitExceededError, match="for rule mobile"):
        recognizers.RuleRecognizer(rule).analyze("1380013800x " * 50_000, [])


def _resident_ids():
    for sequence in range(1000):
        body = f"62010519491231{sequence:03d}"
        weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
        check = "10X98765432"[sum(int(d) * w for d, w in zip(body, weights, strict=True)) % 11]
        if check != "X":
            yield body + check


def _luhn(number: str) -> bool:
    doubled = [int(d) * (1 + i % 2) for i, d in enumerate(reversed(number))]
    return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0
