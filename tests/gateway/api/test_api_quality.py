"""Rule 17 over HTTP: a release with pictures waits, is counted by an officer, and goes on."""

from datetime import timedelta

from gateway.review.quality import sign_counts
from gateway.review.quality_counts import KindCount, PictureCount
from simulators import PURPOSE, RECIPIENT, cleanse, png


def test_pictures_are_sampled_shown_and_counted_over_http(sqlite_gate, sqlite_house, serve_gate):
    gate, house = sqlite_gate, sqlite_house
    recording = cleanse(gate, {"a.png": png(), "b.png": png(seed=3)}, attestation="no position")
    with serve_gate(gate, house) as served:
        terms = {
            "recordings": [recording],
            "purpose": PURPOSE,
            "recipient": RECIPIENT,
            "mode": "LOCAL",
            "expires_at": (gate.clock() + timedelta(days=30)).isoformat(),
        }
        waits = served.call("submitter", "POST", "/operators/v1/releases", document=terms)
        assert (waits.status_code, waits.json()["reason"]) == (403, "review_pending")
        release = waits.json()["release"]
        base = f"/operators/v1/releases/{release}"
        quality = f"{base}/quality"
        assert served.call("officer", "GET", quality).json()["standing"] == "not_drawn"
        assert served.call("officer", "GET", f"{quality}/pictures/1").status_code == 404
        drawn = served.call("officer", "POST", f"{quality}/sample")
        assert (drawn.status_code, drawn.json()["waiting"]) == (201, [1, 2])
        assert served.call("first", "POST", f"{quality}/sample").status_code == 409

        picture = served.call("officer", "GET", f"{quality}/pictures/2")
        assert picture.content.startswith(b"\x89PNG")
        assert (picture.headers["content-type"], picture.headers["cache-control"]) == (
            "image/png",
            "no-store",
        )
        assert served.call("officer", "GET", f"{quality}/pictures/3").status_code == 404
        assert served.call("officer", "GET", f"{quality}/pictures/x").status_code == 422
        for path in (f"{quality}/pictures/1", quality):
            assert served.call("engineer", "GET", path).status_code == 403

        none = KindCount(masked=0, missed=0)
        counts = [PictureCount(picture=number, face=none, plate=none) for number in (1, 2)]
        statement = sign_counts(gate, release, counts, reviewer="officer", key=house.people["officer"].key)
        record = f"{quality}/records"
        theirs = served.call("first", "POST", record, document={"statement": statement})
        assert (theirs.status_code, theirs.json()["reason"]) == (422, "approval_invalid")
        assert served.call("officer", "POST", record, document={"counts": []}).status_code == 422
        done = served.call("officer", "POST", record, document={"statement": statement})
        assert (done.status_code, done.json()["standing"]) == (201, "reached")
        assert served.call("officer", "POST", f"{base}/judgement").status_code == 403
        judged = served.call("submitter", "POST", f"{base}/judgement")
        assert (judged.status_code, judged.json()["state"]) == (201, "judged")
        assert judged.json()["quality"]["records"][0]["reviewer"] == "officer"
