package fleetgate_test.act.active_person

import data.examples.act as base
import data.fleetgate.act

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "active_person" in act.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes read": {"passes": true, "question": base.read},
	"passes approve": {"passes": true, "question": base.approve},
	"denies: a suspended person": {"passes": false, "question": json.patch(base.approve, [{"op": "replace", "path": "/subject/suspended", "value": true}])},
	"denies: nobody enrolled": {"passes": false, "question": json.patch(base.approve, [{"op": "replace", "path": "/subject/enrolled", "value": false}])},
	"denies: without subject.suspended": {"passes": false, "question": json.patch(base.approve, [{"op": "remove", "path": "/subject/suspended"}])},
}
