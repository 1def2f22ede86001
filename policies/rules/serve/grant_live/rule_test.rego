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

cases["passes engineer"] := {
	"passes": true,
	"question": base.engineer,
}

cases["passes eu"] := {
	"passes": true,
	"question": base.eu,
}

cases["denies: somebody else's grant"] := {
	"passes": false,
	"question": json.patch(base.engineer, [{"op": "replace", "path": "/context/grant/subject", "value": "person-8"}]),
}

cases["denies: a grant on another release"] := {
	"passes": false,
	"question": json.patch(base.engineer, [{"op": "replace", "path": "/context/grant/release", "value": "rel-2"}]),
}

cases["denies: grant is revoked"] := {
	"passes": false,
	"question": json.patch(base.engineer, [{"op": "replace", "path": "/context/grant/revoked", "value": true}]),
}

cases["denies: grant has expired"] := {
	"passes": false,
	"question": json.patch(base.engineer, [{"op": "replace", "path": "/context/grant/not_after", "value": "2026-05-03T08:00:00Z"}]),
}

cases["denies: grant has not begun"] := {
	"passes": false,
	"question": json.patch(base.engineer, [{"op": "replace", "path": "/context/grant/not_before", "value": "2026-05-03T08:00:01Z"}]),
}

cases["denies without context.grant.not_after"] := {
	"passes": false,
	"question": json.patch(base.engineer, [{"op": "remove", "path": "/context/grant/not_after"}]),
}

cases["denies without context.grant.not_before"] := {
	"passes": false,
	"question": json.patch(base.engineer, [{"op": "remove", "path": "/context/grant/not_before"}]),
}

cases["denies without context.grant.release"] := {
	"passes": false,
	"question": json.patch(base.engineer, [{"op": "remove", "path": "/context/grant/release"}]),
}

cases["denies without context.grant.revoked"] := {
	"passes": false,
	"question": json.patch(base.engineer, [{"op": "remove", "path": "/context/grant/revoked"}]),
}

cases["denies without context.grant.subject"] := {
	"passes": false,
	"question": json.patch(base.engineer, [{"op": "remove", "path": "/context/grant/subject"}]),
}

cases["denies without context.time"] := {
	"passes": false,
	"question": json.patch(base.engineer, [{"op": "remove", "path": "/context/time"}]),
}

cases["denies without resource.release"] := {
	"passes": false,
	"question": json.patch(base.engineer, [{"op": "remove", "path": "/resource/release"}]),
}

cases["denies without subject.id"] := {
	"passes": false,
	"question": json.patch(base.engineer, [{"op": "remove", "path": "/subject/id"}]),
}
