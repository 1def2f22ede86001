package fleetgate_test.act.policy_in_force

import data.examples.act as base
import data.fleetgate.act

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "policy_in_force" in act.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes read": {"passes": true, "question": base.read},
	"passes install": {"passes": true, "question": base.install},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: the policy has expired": {"passes": false, "question": json.patch(base.approve, [{"op": "replace", "path": "/context/policy/not_after", "value": "2026-05-03T08:00:00Z"}])},
	"denies: no time": {"passes": false, "question": json.patch(base.approve, [{"op": "remove", "path": "/context/time"}])},
	"denies: another bundle is stated in force while it is replaced": {"passes": false, "question": json.patch(base.repair, [{"op": "replace", "path": "/context/policy/digest", "value": "0000000000000000000000000000000000000000000000000000000000000000"}])},
}
