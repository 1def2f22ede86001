package fleetgate_test.serve.ledger_available

import data.examples.serve as base
import data.fleetgate.serve

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "ledger_available" in serve.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes engineer": {"passes": true, "question": base.engineer},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: no ledger": {"passes": false, "question": json.patch(base.engineer, [{"op": "replace", "path": "/context/ledger_available", "value": false}])},
	"denies without context.ledger_available": {"passes": false, "question": json.patch(base.engineer, [{"op": "remove", "path": "/context/ledger_available"}])},
}
