package fleetgate_test.act.break_glass_open

import data.examples.act as base
import data.fleetgate.act

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "break_glass_open" in act.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes read": {"passes": true, "question": base.read},
	"passes permit": {"passes": true, "question": base.permit},
	"passes approve": {"passes": true, "question": base.approve},
	"denies: its time is over": {"passes": false, "question": json.patch(base.read, [{"op": "replace", "path": "/context/break_glass/not_after", "value": "2026-05-03T08:00:00Z"}])},
	"denies: it was ended": {"passes": false, "question": json.patch(base.read, [{"op": "replace", "path": "/context/break_glass/ended", "value": true}])},
	"denies: without a period": {"passes": false, "question": json.patch(base.read, [{"op": "remove", "path": "/context/break_glass/not_after"}])},
}
