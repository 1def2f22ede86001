package fleetgate_test.serve.policy_in_force

import data.examples.serve as base
import data.fleetgate.serve

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "policy_in_force" in serve.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes engineer": {"passes": true, "question": base.engineer},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: policy has expired": {"passes": false, "question": json.patch(base.engineer, [{"op": "replace", "path": "/context/policy/not_after", "value": "2026-05-03T08:00:00Z"}])},
	"denies without context.policy": {"passes": false, "question": json.patch(base.engineer, [{"op": "remove", "path": "/context/policy"}])},
	"denies without context.time": {"passes": false, "question": json.patch(base.engineer, [{"op": "remove", "path": "/context/time"}])},
}
