package fleetgate_test.release.purpose_registered

import data.examples.release as base
import data.fleetgate.release

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "purpose_registered" in release.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes local": {"passes": true, "question": base.local},
	"passes offset": {"passes": true, "question": base.offset},
	"passes approved": {"passes": true, "question": base.approved},
	"passes public": {"passes": true, "question": base.public},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: purpose is not registered": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/context/purpose", "value": "marketing"}])},
	"denies without context.purpose": {"passes": false, "question": json.patch(base.local, [{"op": "remove", "path": "/context/purpose"}])},
	"denies without context.purposes_registered": {"passes": false, "question": json.patch(base.local, [{"op": "remove", "path": "/context/purposes_registered"}])},
}
