package fleetgate_test.serve.purpose_bound

import data.examples.serve as base
import data.fleetgate.serve

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "purpose_bound" in serve.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes engineer": {"passes": true, "question": base.engineer},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: another purpose": {"passes": false, "question": json.patch(base.engineer, [{"op": "replace", "path": "/context/purpose", "value": "marketing"}])},
	"denies: grant for another purpose": {"passes": false, "question": json.patch(base.engineer, [{"op": "replace", "path": "/context/grant/purpose", "value": "simulation"}])},
	"denies: release for another purpose": {"passes": false, "question": json.patch(base.engineer, [{"op": "replace", "path": "/context/release/purpose", "value": "simulation"}])},
	"denies without context.grant.purpose": {"passes": false, "question": json.patch(base.engineer, [{"op": "remove", "path": "/context/grant/purpose"}])},
	"denies without context.purpose": {"passes": false, "question": json.patch(base.engineer, [{"op": "remove", "path": "/context/purpose"}])},
	"denies without context.release.purpose": {"passes": false, "question": json.patch(base.engineer, [{"op": "remove", "path": "/context/release/purpose"}])},
}
