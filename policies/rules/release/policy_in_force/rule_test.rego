package fleetgate_test.release.policy_in_force

import data.examples.release as base
import data.fleetgate.release

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "policy_in_force" in release.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes local": {"passes": true, "question": base.local},
	"passes offset": {"passes": true, "question": base.offset},
	"passes approved": {"passes": true, "question": base.approved},
	"passes public": {"passes": true, "question": base.public},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: policy has expired": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/context/policy/not_after", "value": "2026-05-01T00:00:00Z"}])},
	"denies without context.policy": {"passes": false, "question": json.patch(base.local, [{"op": "remove", "path": "/context/policy"}])},
	"denies without context.time": {"passes": false, "question": json.patch(base.local, [{"op": "remove", "path": "/context/time"}])},
}
