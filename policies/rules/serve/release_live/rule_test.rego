package fleetgate_test.serve.release_live

import data.examples.serve as base
import data.fleetgate.serve

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "release_live" in serve.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes engineer": {"passes": true, "question": base.engineer},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: release is only approved": {"passes": false, "question": json.patch(base.engineer, [{"op": "replace", "path": "/resource/state", "value": "Approved"}])},
	"denies: release is revoked": {"passes": false, "question": json.patch(base.engineer, [{"op": "replace", "path": "/context/release/revoked", "value": true}])},
	"denies: release is erased": {"passes": false, "question": json.patch(base.engineer, [{"op": "replace", "path": "/resource/state", "value": "Erased"}])},
	"denies: release has expired": {"passes": false, "question": json.patch(base.engineer, [{"op": "replace", "path": "/context/release/expires_at", "value": "2026-05-03T08:00:00Z"}])},
	"denies without context.release.expires_at": {"passes": false, "question": json.patch(base.engineer, [{"op": "remove", "path": "/context/release/expires_at"}])},
	"denies without context.release.revoked": {"passes": false, "question": json.patch(base.engineer, [{"op": "remove", "path": "/context/release/revoked"}])},
	"denies without context.time": {"passes": false, "question": json.patch(base.engineer, [{"op": "remove", "path": "/context/time"}])},
	"denies without resource.state": {"passes": false, "question": json.patch(base.engineer, [{"op": "remove", "path": "/resource/state"}])},
}
