package fleetgate_test.release.expiry_ahead

import data.examples.release as base
import data.fleetgate.release

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "expiry_ahead" in release.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes local": {"passes": true, "question": base.local},
	"passes offset": {"passes": true, "question": base.offset},
	"passes approved": {"passes": true, "question": base.approved},
	"passes public": {"passes": true, "question": base.public},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: release expires at this instant": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/context/expires_at", "value": "2026-05-02T10:00:00Z"}])},
	"denies without context.expires_at": {"passes": false, "question": json.patch(base.local, [{"op": "remove", "path": "/context/expires_at"}])},
	"denies without context.time": {"passes": false, "question": json.patch(base.local, [{"op": "remove", "path": "/context/time"}])},
}
