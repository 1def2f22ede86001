package fleetgate_test.release.one_position_context

import data.examples.release as base
import data.fleetgate.release

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "one_position_context" in release.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes local": {"passes": true, "question": base.local},
	"passes offset": {"passes": true, "question": base.offset},
	"passes approved": {"passes": true, "question": base.approved},
	"passes public": {"passes": true, "question": base.public},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: a raw position": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/resource/items/1/position_handling", "value": "raw"}])},
	"denies: a raw position lowers nothing": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/resource/items/0/position_handling", "value": "raw"}])},
	"denies: two offset contexts": {"passes": false, "question": json.patch(base.offset, [{"op": "replace", "path": "/resource/items/1/position_handling", "value": "local"}])},
	"denies without resource.items": {"passes": false, "question": json.patch(base.local, [{"op": "remove", "path": "/resource/items"}])},
	"denies without resource.mode": {"passes": false, "question": json.patch(base.local, [{"op": "remove", "path": "/resource/mode"}])},
}
