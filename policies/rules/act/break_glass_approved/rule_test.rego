package fleetgate_test.act.break_glass_approved

import data.examples.act as base
import data.fleetgate.act

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "break_glass_approved" in act.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes read": {"passes": true, "question": base.read},
	"passes approve": {"passes": true, "question": base.approve},
	"denies: nobody approved": {"passes": false, "question": json.patch(base.read, [{"op": "replace", "path": "/context/break_glass/approved_by", "value": null}])},
	"denies: another object": {"passes": false, "question": json.patch(base.read, [{"op": "replace", "path": "/resource/id", "value": "item-9"}])},
	"denies: somebody else's": {"passes": false, "question": json.patch(base.read, [{"op": "replace", "path": "/context/break_glass/requested_by", "value": "operator-9"}])},
	"denies: no break-glass": {"passes": false, "question": json.patch(base.read, [{"op": "replace", "path": "/context/break_glass", "value": null}])},
}
