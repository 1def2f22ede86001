package fleetgate_test.release.operator_submits

import data.examples.release as base
import data.fleetgate.release

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "operator_submits" in release.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes local": {"passes": true, "question": base.local},
	"passes offset": {"passes": true, "question": base.offset},
	"passes approved": {"passes": true, "question": base.approved},
	"passes public": {"passes": true, "question": base.public},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: an engineer submits": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/subject/roles", "value": ["engineer"]}])},
	"denies without subject.roles": {"passes": false, "question": json.patch(base.local, [{"op": "remove", "path": "/subject/roles"}])},
}
