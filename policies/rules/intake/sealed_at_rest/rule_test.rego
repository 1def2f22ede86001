package fleetgate_test.intake.sealed_at_rest

import data.examples.intake as base
import data.fleetgate.intake

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "sealed_at_rest" in intake.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes vehicle": {"passes": true, "question": base.vehicle},
	"passes carrier": {"passes": true, "question": base.carrier},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: unknown suite": {"passes": false, "question": json.patch(base.vehicle, [{"op": "replace", "path": "/context/vault/suite", "value": "rot13"}])},
	"denies: keys held elsewhere": {"passes": false, "question": json.patch(base.vehicle, [{"op": "replace", "path": "/context/vault/keys_held_by_operator", "value": false}])},
	"denies: a clock before all law": {"passes": false, "question": json.patch(base.carrier, [{"op": "replace", "path": "/context/time", "value": "2015-01-01T00:00:00Z"}])},
	"denies without context.vault.keys_held_by_operator": {"passes": false, "question": json.patch(base.vehicle, [{"op": "remove", "path": "/context/vault/keys_held_by_operator"}])},
	"denies without context.vault.suite": {"passes": false, "question": json.patch(base.vehicle, [{"op": "remove", "path": "/context/vault/suite"}])},
}
