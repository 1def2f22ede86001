package fleetgate_test.log.policy_in_force

import data.examples.log as base
import data.fleetgate.log

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "policy_in_force" in log.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes ledger": {"passes": true, "question": base.ledger},
	"passes commercial": {"passes": true, "question": base.commercial},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: policy has expired": {"passes": false, "question": json.patch(base.ledger, [{"op": "replace", "path": "/context/policy/not_after", "value": "2026-05-16T08:00:00Z"}])},
	"denies: policy is not signed": {"passes": false, "question": json.patch(base.ledger, [{"op": "replace", "path": "/context/policy/signed", "value": false}])},
	"denies without context.policy": {"passes": false, "question": json.patch(base.ledger, [{"op": "remove", "path": "/context/policy"}])},
	"denies without context.time": {"passes": false, "question": json.patch(base.ledger, [{"op": "remove", "path": "/context/time"}])},
}
