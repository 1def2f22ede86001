package fleetgate_test.act.own_object

import data.examples.act as base
import data.fleetgate.act

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "own_object" in act.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes withdraw": {"passes": true, "question": base.withdraw},
	"passes approve": {"passes": true, "question": base.approve},
	"denies: somebody else takes a request back": {"passes": false, "question": json.patch(base.withdraw, [{"op": "replace", "path": "/subject/id", "value": "operator-9"}])},
	"denies: without who did what": {"passes": false, "question": json.patch(base.withdraw, [{"op": "remove", "path": "/resource/done"}])},
}
