package fleetgate_test.destroy.policy_in_force

import data.examples.destroy as base
import data.fleetgate.destroy

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "policy_in_force" in destroy.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes originals": {"passes": true, "question": base.originals},
	"passes recording": {"passes": true, "question": base.recording},
	"passes release": {"passes": true, "question": base.release},
	"passes detail": {"passes": true, "question": base.detail},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: policy has expired": {"passes": false, "question": json.patch(base.originals, [{"op": "replace", "path": "/context/policy/not_after", "value": "2026-05-16T08:00:00Z"}])},
	"denies: policy is not signed": {"passes": false, "question": json.patch(base.release, [{"op": "replace", "path": "/context/policy/signed", "value": false}])},
	"denies without context.policy": {"passes": false, "question": json.patch(base.originals, [{"op": "remove", "path": "/context/policy"}])},
	"denies without context.time": {"passes": false, "question": json.patch(base.originals, [{"op": "remove", "path": "/context/time"}])},
}
