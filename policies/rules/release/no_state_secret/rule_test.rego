package fleetgate_test.release.no_state_secret

import data.examples.release as base
import data.fleetgate.release

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "no_state_secret" in release.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes local": {"passes": true, "question": base.local},
	"passes offset": {"passes": true, "question": base.offset},
	"passes approved": {"passes": true, "question": base.approved},
	"passes public": {"passes": true, "question": base.public},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: unknown level": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/resource/items/0/level_in", "value": "SX_UNKNOWN"}, {"op": "replace", "path": "/resource/items/0/level_out", "value": "SX_UNKNOWN"}])},
	"denies: state secret": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/resource/items/1/level_in", "value": "S4_STATE_SECRET"}, {"op": "replace", "path": "/resource/items/1/level_out", "value": "S4_STATE_SECRET"}])},
	"denies without resource.items": {"passes": false, "question": json.patch(base.local, [{"op": "remove", "path": "/resource/items"}])},
}
