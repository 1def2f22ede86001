package fleetgate_test.release.identifiers_stripped

import data.examples.release as base
import data.fleetgate.release

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "identifiers_stripped" in release.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes local": {"passes": true, "question": base.local},
	"passes offset": {"passes": true, "question": base.offset},
	"passes approved": {"passes": true, "question": base.approved},
	"passes public": {"passes": true, "question": base.public},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: a VIN is left": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/resource/items/1/vin_found", "value": 1}])},
	"denies: absolute time is left": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/resource/items/1/absolute_time", "value": "raw"}])},
	"denies: metadata is left": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/resource/items/0/metadata_stripped", "value": false}])},
	"denies without resource.items": {"passes": false, "question": json.patch(base.local, [{"op": "remove", "path": "/resource/items"}])},
}
