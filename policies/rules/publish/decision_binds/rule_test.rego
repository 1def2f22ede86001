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

cases := {
	"passes two_operators": {"passes": true, "question": base.two_operators},
	"passes one_operator": {"passes": true, "question": base.one_operator},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: the decision was a denial": {"passes": false, "question": json.patch(base.two_operators, [{"op": "replace", "path": "/context/decision/allowed", "value": false}])},
	"denies: the decision rests on an older bundle": {"passes": false, "question": json.patch(base.two_operators, [{"op": "replace", "path": "/context/decision/bundle_digest", "value": "0000000000000000000000000000000000000000000000000000000000000000"}])},
	"denies: the decision is about other content": {"passes": false, "question": json.patch(base.two_operators, [{"op": "replace", "path": "/context/decision/release_digest", "value": "0000000000000000000000000000000000000000000000000000000000000000"}])},
	"denies: content changed after it was judged": {"passes": false, "question": json.patch(base.two_operators, [{"op": "replace", "path": "/resource/judged_digest", "value": "0000000000000000000000000000000000000000000000000000000000000000"}])},
	"denies without context.decision.allowed": {"passes": false, "question": json.patch(base.two_operators, [{"op": "remove", "path": "/context/decision/allowed"}])},
	"denies without context.decision.bundle_digest": {"passes": false, "question": json.patch(base.two_operators, [{"op": "remove", "path": "/context/decision/bundle_digest"}])},
	"denies without context.decision.release_digest": {"passes": false, "question": json.patch(base.two_operators, [{"op": "remove", "path": "/context/decision/release_digest"}])},
	"denies without resource.digest": {"passes": false, "question": json.patch(base.two_operators, [{"op": "remove", "path": "/resource/digest"}])},
	"denies without resource.judged_digest": {"passes": false, "question": json.patch(base.two_operators, [{"op": "remove", "path": "/resource/judged_digest"}])},
}
