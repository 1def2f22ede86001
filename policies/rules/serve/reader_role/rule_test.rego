package fleetgate_test.serve.reader_role

import data.examples.serve as base
import data.fleetgate.serve

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "reader_role" in serve.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes engineer": {"passes": true, "question": base.engineer},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: an annotator downloads": {"passes": false, "question": json.patch(base.engineer, [{"op": "replace", "path": "/subject/roles", "value": ["annotator"]}])},
	"denies: a reader without a role": {"passes": false, "question": json.patch(base.engineer, [{"op": "replace", "path": "/subject/roles", "value": []}])},
	"denies without subject.roles": {"passes": false, "question": json.patch(base.engineer, [{"op": "remove", "path": "/subject/roles"}])},
}
