package fleetgate_test.release.public_map_number

import data.examples.release as base
import data.fleetgate.release

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "public_map_number" in release.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes local": {"passes": true, "question": base.local},
	"passes offset": {"passes": true, "question": base.offset},
	"passes approved": {"passes": true, "question": base.approved},
	"passes public": {"passes": true, "question": base.public},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: public without a map number": {"passes": false, "question": json.patch(base.public, [{"op": "replace", "path": "/context/map_number", "value": null}])},
	"denies: public with a made-up map number": {"passes": false, "question": json.patch(base.public, [{"op": "replace", "path": "/context/map_number", "value": "1234"}])},
	"denies: sensitive information goes public": {"passes": false, "question": json.patch(base.public, [{"op": "replace", "path": "/resource/items/1/level_out", "value": "S3_SENSITIVE_GEO"}])},
	"denies without context.destination_zone": {"passes": false, "question": json.patch(base.local, [{"op": "remove", "path": "/context/destination_zone"}])},
	"denies without context.map_number": {"passes": false, "question": json.patch(base.public, [{"op": "remove", "path": "/context/map_number"}])},
	"denies without context.profile.jurisdiction": {"passes": false, "question": json.patch(base.local, [{"op": "remove", "path": "/context/profile/jurisdiction"}])},
	"denies without resource.items": {"passes": false, "question": json.patch(base.public, [{"op": "remove", "path": "/resource/items"}])},
}
