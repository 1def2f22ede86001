package fleetgate_test.publish.candidate_fresh

import data.examples.publish as base
import data.fleetgate.publish

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "candidate_fresh" in publish.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes two_operators": {"passes": true, "question": base.two_operators},
	"passes one_operator": {"passes": true, "question": base.one_operator},
	"passes eu": {"passes": true, "question": base.eu},
	"passes: exactly as old as it may be": {"passes": true, "question": json.patch(base.two_operators, [{"op": "replace", "path": "/resource/built_at", "value": "2026-04-02T12:00:00Z"}])},
	"denies: a second too old": {"passes": false, "question": json.patch(base.two_operators, [{"op": "replace", "path": "/resource/built_at", "value": "2026-04-02T11:59:59Z"}])},
	"denies: from the future": {"passes": false, "question": json.patch(base.two_operators, [{"op": "replace", "path": "/resource/built_at", "value": "2026-05-02T12:00:01Z"}])},
	"denies without resource.built_at": {"passes": false, "question": json.patch(base.two_operators, [{"op": "remove", "path": "/resource/built_at"}])},
	"denies without context.time": {"passes": false, "question": json.patch(base.two_operators, [{"op": "remove", "path": "/context/time"}])},
}
