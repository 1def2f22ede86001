package fleetgate_test.release.recipient_under_contract

import data.examples.release as base
import data.fleetgate.release

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "recipient_under_contract" in release.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes local": {"passes": true, "question": base.local},
	"passes offset": {"passes": true, "question": base.offset},
	"passes approved": {"passes": true, "question": base.approved},
	"passes public": {"passes": true, "question": base.public},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: recipient is not registered": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/context/recipient/registered", "value": false}])},
	"denies: recipient has no contract": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/context/recipient/contract", "value": false}])},
	"denies without context.recipient.contract": {"passes": false, "question": json.patch(base.local, [{"op": "remove", "path": "/context/recipient/contract"}])},
	"denies without context.recipient.registered": {"passes": false, "question": json.patch(base.local, [{"op": "remove", "path": "/context/recipient/registered"}])},
}
