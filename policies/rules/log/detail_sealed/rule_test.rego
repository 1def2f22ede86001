package fleetgate_test.log.detail_sealed

import data.examples.log as base
import data.fleetgate.log

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "detail_sealed" in log.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes ledger": {"passes": true, "question": base.ledger},
	"passes commercial": {"passes": true, "question": base.commercial},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: detail in the clear": {"passes": false, "question": json.patch(base.ledger, [{"op": "replace", "path": "/resource/detail_suite", "value": "none"}])},
	"denies without resource.detail_suite": {"passes": false, "question": json.patch(base.ledger, [{"op": "remove", "path": "/resource/detail_suite"}])},
	"denies without context.time": {"passes": false, "question": json.patch(base.ledger, [{"op": "remove", "path": "/context/time"}])},
}
