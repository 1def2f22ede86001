package fleetgate_test.publish.approvals_fresh

import data.examples.publish as base
import data.fleetgate.publish

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "approvals_fresh" in publish.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes two_operators": {"passes": true, "question": base.two_operators},
	"passes one_operator": {"passes": true, "question": base.one_operator},
	"passes eu": {"passes": true, "question": base.eu},
	"passes: exactly as old as it may be": {"passes": true, "question": json.patch(base.two_operators, [{"op": "replace", "path": "/context/time", "value": "2026-05-16T11:00:00Z"}])},
	"denies: a second too old": {"passes": false, "question": json.patch(base.two_operators, [{"op": "replace", "path": "/context/time", "value": "2026-05-16T11:00:01Z"}])},
	"denies: no approval": {"passes": false, "question": json.patch(base.two_operators, [{"op": "replace", "path": "/context/approvals", "value": []}])},
	"denies without signed_at": {"passes": false, "question": json.patch(base.two_operators, [{"op": "remove", "path": "/context/approvals/1/signed_at"}])},
	"denies without context.time": {"passes": false, "question": json.patch(base.two_operators, [{"op": "remove", "path": "/context/time"}])},
	"denies before the law's first date": {"passes": false, "question": json.patch(base.two_operators, [{"op": "replace", "path": "/context/time", "value": "2019-12-31T00:00:00Z"}])},
}
