package fleetgate_test.act.raw_zone

import data.examples.act as base
import data.fleetgate.act

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "raw_zone" in act.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes read": {"passes": true, "question": base.read},
	"passes approve": {"passes": true, "question": base.approve},
	"denies: an officer reads raw data": {"passes": false, "question": json.patch(base.read, [{"op": "replace", "path": "/subject/roles", "value": ["compliance_officer"]}])},
	"denies: from a partner's network": {"passes": false, "question": json.patch(base.read, [{"op": "replace", "path": "/context/network_zone", "value": "partner"}])},
	"denies: without a network zone": {"passes": false, "question": json.patch(base.read, [{"op": "remove", "path": "/context/network_zone"}])},
}
