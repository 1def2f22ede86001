package fleetgate_test.release.gdpr_basis

import data.examples.release as base
import data.fleetgate.release

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "gdpr_basis" in release.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes local": {"passes": true, "question": base.local},
	"passes offset": {"passes": true, "question": base.offset},
	"passes approved": {"passes": true, "question": base.approved},
	"passes public": {"passes": true, "question": base.public},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: EU profile without an impact assessment": {"passes": false, "question": json.patch(base.eu, [{"op": "replace", "path": "/context/dpia_reference", "value": null}])},
	"denies: EU profile with an offset": {"passes": false, "question": json.patch(base.eu, [{"op": "replace", "path": "/resource/mode", "value": "OFFSET"}, {"op": "replace", "path": "/resource/offset", "value": {"max_distance_error": 0.0061, "min_shift_m": 251.5}}, {"op": "replace", "path": "/resource/items/1/position_handling", "value": "offset"}])},
	"denies: EU profile with offset measures in local mode": {"passes": false, "question": json.patch(base.eu, [{"op": "replace", "path": "/resource/offset", "value": {"max_distance_error": 0.0061, "min_shift_m": 251.5}}])},
	"denies without context.dpia_reference": {"passes": false, "question": json.patch(base.eu, [{"op": "remove", "path": "/context/dpia_reference"}])},
	"denies without context.profile.jurisdiction": {"passes": false, "question": json.patch(base.local, [{"op": "remove", "path": "/context/profile/jurisdiction"}])},
	"denies without context.purpose": {"passes": false, "question": json.patch(base.eu, [{"op": "remove", "path": "/context/purpose"}])},
	"denies without resource.mode": {"passes": false, "question": json.patch(base.eu, [{"op": "remove", "path": "/resource/mode"}])},
	"denies without resource.offset": {"passes": false, "question": json.patch(base.eu, [{"op": "remove", "path": "/resource/offset"}])},
}
