package fleetgate_test.publish.policy_in_force

import data.examples.publish as base
import data.fleetgate.publish

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "policy_in_force" in publish.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes two_operators": {"passes": true, "question": base.two_operators},
	"passes one_operator": {"passes": true, "question": base.one_operator},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: policy is not signed": {"passes": false, "question": json.patch(base.two_operators, [{"op": "replace", "path": "/context/policy/signed", "value": false}])},
	"denies without context.policy": {"passes": false, "question": json.patch(base.two_operators, [{"op": "remove", "path": "/context/policy"}])},
	"denies without context.time": {"passes": false, "question": json.patch(base.two_operators, [{"op": "remove", "path": "/context/time"}])},
}
