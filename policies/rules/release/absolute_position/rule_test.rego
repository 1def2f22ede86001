package fleetgate_test.release.absolute_position

import data.examples.release as base
import data.fleetgate.release

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "absolute_position" in release.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes local": {"passes": true, "question": base.local},
	"passes offset": {"passes": true, "question": base.offset},
	"passes approved": {"passes": true, "question": base.approved},
	"passes public": {"passes": true, "question": base.public},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: offset without its measures": {"passes": false, "question": json.patch(base.offset, [{"op": "replace", "path": "/resource/offset", "value": null}])},
	"denies: offset too small": {"passes": false, "question": json.patch(base.offset, [{"op": "replace", "path": "/resource/offset/min_shift_m", "value": 49.9}])},
	"denies: offset distorts": {"passes": false, "question": json.patch(base.offset, [{"op": "replace", "path": "/resource/offset/max_distance_error", "value": 0.0071}])},
	"denies: approved mode without the processor's identifier": {"passes": false, "question": json.patch(base.approved, [{"op": "replace", "path": "/resource/secrecy_tech_id", "value": null}])},
	"denies without resource.mode": {"passes": false, "question": json.patch(base.local, [{"op": "remove", "path": "/resource/mode"}])},
	"denies without resource.offset.max_distance_error": {"passes": false, "question": json.patch(base.offset, [{"op": "remove", "path": "/resource/offset/max_distance_error"}])},
	"denies without resource.offset.min_shift_m": {"passes": false, "question": json.patch(base.offset, [{"op": "remove", "path": "/resource/offset/min_shift_m"}])},
	"denies without resource.secrecy_tech_id": {"passes": false, "question": json.patch(base.approved, [{"op": "remove", "path": "/resource/secrecy_tech_id"}])},
}
