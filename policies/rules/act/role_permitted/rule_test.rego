package fleetgate_test.act.role_permitted

import data.examples.act as base
import data.fleetgate.act

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "role_permitted" in act.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes read": {"passes": true, "question": base.read},
	"passes approve": {"passes": true, "question": base.approve},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: an administrator approves": {"passes": false, "question": json.patch(base.approve, [{"op": "replace", "path": "/subject/roles", "value": ["administrator"]}])},
	"denies: an act that nobody registered": {"passes": false, "question": json.patch(base.approve, [{"op": "replace", "path": "/action/name", "value": "release.fly"}])},
	"denies: no roles": {"passes": false, "question": json.patch(base.approve, [{"op": "remove", "path": "/subject/roles"}])},
}
