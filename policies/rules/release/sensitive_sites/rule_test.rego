package fleetgate_test.release.sensitive_sites

import data.examples.release as base
import data.fleetgate.release

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "sensitive_sites" in release.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes local": {"passes": true, "question": base.local},
	"passes offset": {"passes": true, "question": base.offset},
	"passes approved": {"passes": true, "question": base.approved},
	"passes public": {"passes": true, "question": base.public},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: an energy site keeps its attributes": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/resource/items/0/tags", "value": ["FACE", "PLATE", "ENERGY"]}])},
	"denies: a water site is not masked": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/resource/items/1/tags", "value": ["WATER"]}, {"op": "replace", "path": "/resource/items/1/sign_attributes_nulled", "value": true}])},
	"denies without context.profile.jurisdiction": {"passes": false, "question": json.patch(base.local, [{"op": "remove", "path": "/context/profile/jurisdiction"}])},
	"denies without resource.items": {"passes": false, "question": json.patch(base.local, [{"op": "remove", "path": "/resource/items"}])},
}
