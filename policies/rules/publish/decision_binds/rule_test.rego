package fleetgate_test.publish.decision_binds

import data.examples.publish as base
import data.fleetgate.publish

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "decision_binds" in publish.passed with input as case.question
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

cases["denies: the decision was a denial"] := {
	"passes": false,
	"question": json.patch(base.two_operators, [{"op": "replace", "path": "/context/decision/allowed", "value": false}]),
}

cases["denies: the decision rests on an older bundle"] := {
	"passes": false,
	"question": json.patch(base.two_operators, [{"op": "replace", "path": "/context/decision/bundle_digest", "value": "0000000000000000000000000000000000000000000000000000000000000000"}]),
}

cases["denies: the decision is about other content"] := {
	"passes": false,
	"question": json.patch(base.two_operators, [{"op": "replace", "path": "/context/decision/release_digest", "value": "0000000000000000000000000000000000000000000000000000000000000000"}]),
}

cases["denies: content changed after it was judged"] := {
	"passes": false,
	"question": json.patch(base.two_operators, [{"op": "replace", "path": "/resource/judged_digest", "value": "0000000000000000000000000000000000000000000000000000000000000000"}]),
}

cases["denies without context.decision.allowed"] := {
	"passes": false,
	"question": json.patch(base.two_operators, [{"op": "remove", "path": "/context/decision/allowed"}]),
}

cases["denies without context.decision.bundle_digest"] := {
	"passes": false,
	"question": json.patch(base.two_operators, [{"op": "remove", "path": "/context/decision/bundle_digest"}]),
}

cases["denies without context.decision.release_digest"] := {
	"passes": false,
	"question": json.patch(base.two_operators, [{"op": "remove", "path": "/context/decision/release_digest"}]),
}

cases["denies without resource.digest"] := {
	"passes": false,
	"question": json.patch(base.two_operators, [{"op": "remove", "path": "/resource/digest"}]),
}

cases["denies without resource.judged_digest"] := {
	"passes": false,
	"question": json.patch(base.two_operators, [{"op": "remove", "path": "/resource/judged_digest"}]),
}
