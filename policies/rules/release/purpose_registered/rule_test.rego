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

cases["passes local"] := {
	"passes": true,
	"question": base.local,
}

cases["passes offset"] := {
	"passes": true,
	"question": base.offset,
}

cases["passes approved"] := {
	"passes": true,
	"question": base.approved,
}

cases["passes public"] := {
	"passes": true,
	"question": base.public,
}

cases["passes eu"] := {
	"passes": true,
	"question": base.eu,
}

cases["denies: purpose is not registered"] := {
	"passes": false,
	"question": json.patch(base.local, [{"op": "replace", "path": "/context/purpose", "value": "marketing"}]),
}

cases["denies without context.purpose"] := {
	"passes": false,
	"question": json.patch(base.local, [{"op": "remove", "path": "/context/purpose"}]),
}

cases["denies without context.purposes_registered"] := {
	"passes": false,
	"question": json.patch(base.local, [{"op": "remove", "path": "/context/purposes_registered"}]),
}
