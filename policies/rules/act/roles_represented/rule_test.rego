package fleetgate_test.act.roles_represented

import data.examples.act as base
import data.fleetgate.act

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "roles_represented" in act.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes install": {"passes": true, "question": base.install},
	"passes approve": {"passes": true, "question": base.approve},
	"denies: two administrators put a bundle into force": {"passes": false, "question": json.patch(base.install, [{"op": "replace", "path": "/resource/done/0/roles", "value": ["administrator"]}])},
	"denies: without the proposer's roles": {"passes": false, "question": json.patch(base.install, [{"op": "remove", "path": "/resource/done/0/roles"}])},
}
