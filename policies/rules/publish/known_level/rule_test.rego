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

cases["passes two_operators"] := {
	"passes": true,
	"question": base.two_operators,
}

cases["passes one_operator"] := {
	"passes": true,
	"question": base.one_operator,
}

cases["passes eu"] := {
	"passes": true,
	"question": base.eu,
}

cases["denies: state secret"] := {
	"passes": false,
	"question": json.patch(base.two_operators, [{"op": "replace", "path": "/resource/level", "value": "S4_STATE_SECRET"}]),
}

cases["denies: a source of unknown level"] := {
	"passes": false,
	"question": json.patch(base.two_operators, [{"op": "replace", "path": "/resource/source_level", "value": "SX_UNKNOWN"}]),
}

cases["denies without resource.level"] := {
	"passes": false,
	"question": json.patch(base.two_operators, [{"op": "remove", "path": "/resource/level"}]),
}

cases["denies without resource.source_level"] := {
	"passes": false,
	"question": json.patch(base.two_operators, [{"op": "remove", "path": "/resource/source_level"}]),
}
