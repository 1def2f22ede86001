package fleetgate_test.release.quality_sampled

import data.examples.release as base
import data.fleetgate.release

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "quality_sampled" in release.passed with input as case.question
	passes != case.passes
}

none := {"counted": true, "pictures": 0, "sampled": 0, "reviewed": 0, "confidence": 0, "sample_digest": null, "failed_before": 0, "kinds": []}

cases := {
	"passes local": {"passes": true, "question": base.local},
	"passes offset": {"passes": true, "question": base.offset},
	"passes approved": {"passes": true, "question": base.approved},
	"passes public": {"passes": true, "question": base.public},
	"passes eu": {"passes": true, "question": base.eu},
	"passes: no pictures": {"passes": true, "question": json.patch(base.local, [{"op": "replace", "path": "/context/quality", "value": none}, {"op": "replace", "path": "/resource/items/0/class", "value": "POINT_CLOUD"}])},
	"denies: a still image is a picture": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/context/quality", "value": none}])},
	"denies: a miss too many": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/context/quality/kinds/1/lower_bound", "value": 0.8999}])},
	"denies: the same items failed elsewhere": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/context/quality/failed_before", "value": 1}])},
	"denies: not every picture was counted": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/context/quality/reviewed", "value": 12}])},
	"denies: EU law, too": {"passes": false, "question": json.patch(base.eu, [{"op": "replace", "path": "/context/quality/kinds/0/recall", "value": 0.5}])},
	"denies before there is a threshold": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/context/time", "value": "2024-01-01T00:00:00Z"}])},
	"denies without the counts": {"passes": false, "question": json.patch(base.local, [{"op": "remove", "path": "/context/quality/kinds"}])},
	"denies without context.quality": {"passes": false, "question": json.patch(base.local, [{"op": "remove", "path": "/context/quality"}])},
}
