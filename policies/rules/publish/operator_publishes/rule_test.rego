package fleetgate_test.publish.operator_publishes

import data.examples.publish as base
import data.fleetgate.publish

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "operator_publishes" in publish.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes two_operators": {"passes": true, "question": base.two_operators},
	"passes one_operator": {"passes": true, "question": base.one_operator},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: an administrator publishes": {"passes": false, "question": json.patch(base.two_operators, [{"op": "replace", "path": "/subject/roles", "value": ["administrator"]}])},
	"denies without subject.roles": {"passes": false, "question": json.patch(base.two_operators, [{"op": "remove", "path": "/subject/roles"}])},
}
