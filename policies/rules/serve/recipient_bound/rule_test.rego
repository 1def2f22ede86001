package fleetgate_test.serve.recipient_bound

import data.examples.serve as base
import data.fleetgate.serve

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "recipient_bound" in serve.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes engineer": {"passes": true, "question": base.engineer},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: reader of another recipient": {"passes": false, "question": json.patch(base.engineer, [{"op": "replace", "path": "/context/release/subject_recipient", "value": "lab-2"}])},
	"denies without context.release.recipient": {"passes": false, "question": json.patch(base.engineer, [{"op": "remove", "path": "/context/release/recipient"}])},
	"denies without context.release.subject_recipient": {"passes": false, "question": json.patch(base.engineer, [{"op": "remove", "path": "/context/release/subject_recipient"}])},
}
