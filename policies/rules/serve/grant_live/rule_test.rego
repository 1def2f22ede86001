package fleetgate_test.serve.grant_live

import data.examples.serve as base
import data.fleetgate.serve

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "grant_live" in serve.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes engineer": {"passes": true, "question": base.engineer},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: somebody else's grant": {"passes": false, "question": json.patch(base.engineer, [{"op": "replace", "path": "/context/grant/subject", "value": "person-8"}])},
	"denies: a grant on another release": {"passes": false, "question": json.patch(base.engineer, [{"op": "replace", "path": "/context/grant/release", "value": "rel-2"}])},
	"denies: grant is revoked": {"passes": false, "question": json.patch(base.engineer, [{"op": "replace", "path": "/context/grant/revoked", "value": true}])},
	"denies: grant has expired": {"passes": false, "question": json.patch(base.engineer, [{"op": "replace", "path": "/context/grant/not_after", "value": "2026-05-03T08:00:00Z"}])},
	"denies: grant has not begun": {"passes": false, "question": json.patch(base.engineer, [{"op": "replace", "path": "/context/grant/not_before", "value": "2026-05-03T08:00:01Z"}])},
	"denies without context.grant.not_after": {"passes": false, "question": json.patch(base.engineer, [{"op": "remove", "path": "/context/grant/not_after"}])},
	"denies without context.grant.not_before": {"passes": false, "question": json.patch(base.engineer, [{"op": "remove", "path": "/context/grant/not_before"}])},
	"denies without context.grant.release": {"passes": false, "question": json.patch(base.engineer, [{"op": "remove", "path": "/context/grant/release"}])},
	"denies without context.grant.revoked": {"passes": false, "question": json.patch(base.engineer, [{"op": "remove", "path": "/context/grant/revoked"}])},
	"denies without context.grant.subject": {"passes": false, "question": json.patch(base.engineer, [{"op": "remove", "path": "/context/grant/subject"}])},
	"denies without context.time": {"passes": false, "question": json.patch(base.engineer, [{"op": "remove", "path": "/context/time"}])},
	"denies without resource.release": {"passes": false, "question": json.patch(base.engineer, [{"op": "remove", "path": "/resource/release"}])},
	"denies without subject.id": {"passes": false, "question": json.patch(base.engineer, [{"op": "remove", "path": "/subject/id"}])},
}
