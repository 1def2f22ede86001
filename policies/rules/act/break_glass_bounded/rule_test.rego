package fleetgate_test.act.break_glass_bounded

import data.examples.act as base
import data.fleetgate.act

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "break_glass_bounded" in act.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes read": {"passes": true, "question": base.read},
	"passes request": {"passes": true, "question": base.request},
	"passes approve": {"passes": true, "question": base.approve},
	"denies: longer than the limit": {"passes": false, "question": json.patch(base.request, [{"op": "replace", "path": "/context/break_glass/not_after", "value": "2026-05-03T16:00:01Z"}])},
	"denies: on no object": {"passes": false, "question": json.patch(base.request, [{"op": "replace", "path": "/context/break_glass/objects", "value": []}])},
	"denies: without a period": {"passes": false, "question": json.patch(base.request, [{"op": "replace", "path": "/context/break_glass", "value": null}])},
}
