package fleetgate_test.publish.known_level

import data.examples.publish as base
import data.fleetgate.publish

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "known_level" in publish.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes two_operators": {"passes": true, "question": base.two_operators},
	"passes one_operator": {"passes": true, "question": base.one_operator},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: state secret": {"passes": false, "question": json.patch(base.two_operators, [{"op": "replace", "path": "/resource/level", "value": "S4_STATE_SECRET"}])},
	"denies: a source of unknown level": {"passes": false, "question": json.patch(base.two_operators, [{"op": "replace", "path": "/resource/source_level", "value": "SX_UNKNOWN"}])},
	"denies without resource.level": {"passes": false, "question": json.patch(base.two_operators, [{"op": "remove", "path": "/resource/level"}])},
	"denies without resource.source_level": {"passes": false, "question": json.patch(base.two_operators, [{"op": "remove", "path": "/resource/source_level"}])},
}
