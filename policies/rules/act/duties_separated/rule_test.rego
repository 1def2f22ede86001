package fleetgate_test.act.duties_separated

import data.examples.act as base
import data.fleetgate.act

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "duties_separated" in act.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes approve": {"passes": true, "question": base.approve},
	"passes install": {"passes": true, "question": base.install},
	"passes withdraw": {"passes": true, "question": base.withdraw},
	"denies: the submitter approves": {"passes": false, "question": json.patch(base.approve, [{"op": "replace", "path": "/subject/id", "value": "operator-1"}])},
	"denies: nobody says who submitted": {"passes": false, "question": json.patch(base.approve, [{"op": "replace", "path": "/resource/done", "value": []}])},
	"denies: without who did what": {"passes": false, "question": json.patch(base.approve, [{"op": "remove", "path": "/resource/done"}])},
}
