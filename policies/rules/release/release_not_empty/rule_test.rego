package fleetgate_test.release.release_not_empty

import data.examples.release as base
import data.fleetgate.release

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "release_not_empty" in release.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes local": {"passes": true, "question": base.local},
	"passes offset": {"passes": true, "question": base.offset},
	"passes approved": {"passes": true, "question": base.approved},
	"passes public": {"passes": true, "question": base.public},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: no items": {"passes": false, "question": json.patch(base.approved, [{"op": "replace", "path": "/resource/items", "value": []}])},
	"denies: no recordings": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/resource/recordings", "value": []}])},
	"denies: one item twice": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/resource/items/1/id", "value": "image-1"}])},
	"denies without resource.items": {"passes": false, "question": json.patch(base.local, [{"op": "remove", "path": "/resource/items"}])},
	"denies without resource.recordings": {"passes": false, "question": json.patch(base.local, [{"op": "remove", "path": "/resource/recordings"}])},
}
