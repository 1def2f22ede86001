package fleetgate_test.advance.policy_in_force

import data.examples.advance as base
import data.fleetgate.advance

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "policy_in_force" in advance.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes vehicle": {"passes": true, "question": base.vehicle},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: unsigned policy": {"passes": false, "question": json.patch(base.vehicle, [{"op": "replace", "path": "/context/policy/signed", "value": false}])},
	"denies: policy expires at this instant": {"passes": false, "question": json.patch(base.vehicle, [{"op": "replace", "path": "/context/policy/not_after", "value": "2026-05-02T10:00:00Z"}])},
	"denies: policy not yet in force": {"passes": false, "question": json.patch(base.vehicle, [{"op": "replace", "path": "/context/policy/not_before", "value": "2026-05-02T10:00:01Z"}])},
	"denies: policy of another bundle": {"passes": false, "question": json.patch(base.vehicle, [{"op": "replace", "path": "/context/policy/digest", "value": "0000000000000000000000000000000000000000000000000000000000000000"}])},
	"denies: a clock before all law": {"passes": false, "question": json.patch(base.vehicle, [{"op": "replace", "path": "/context/time", "value": "2015-01-01T00:00:00Z"}])},
	"denies without context.policy": {"passes": false, "question": json.patch(base.vehicle, [{"op": "remove", "path": "/context/policy"}])},
	"denies without context.time": {"passes": false, "question": json.patch(base.vehicle, [{"op": "remove", "path": "/context/time"}])},
}
