package fleetgate_test.publish.expiry_ahead

import data.examples.publish as base
import data.fleetgate.publish

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "expiry_ahead" in publish.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes two_operators": {"passes": true, "question": base.two_operators},
	"passes one_operator": {"passes": true, "question": base.one_operator},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: the release has expired": {"passes": false, "question": json.patch(base.two_operators, [{"op": "replace", "path": "/context/expires_at", "value": "2026-05-02T12:00:00Z"}])},
	"denies without context.expires_at": {"passes": false, "question": json.patch(base.two_operators, [{"op": "remove", "path": "/context/expires_at"}])},
	"denies without context.time": {"passes": false, "question": json.patch(base.two_operators, [{"op": "remove", "path": "/context/time"}])},
}
