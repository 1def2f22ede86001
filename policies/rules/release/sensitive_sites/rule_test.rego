package fleetgate_test.release.sensitive_sites

import data.examples.release as base
import data.fleetgate.release

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "sensitive_sites" in release.passed with input as case.question
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

cases["denies: an energy site keeps its attributes"] := {
	"passes": false,
	"question": json.patch(base.local, [{"op": "replace", "path": "/resource/items/0/tags", "value": ["FACE", "PLATE", "ENERGY"]}]),
}

cases["denies: a water site is not masked"] := {
	"passes": false,
	"question": json.patch(base.local, [{"op": "replace", "path": "/resource/items/1/tags", "value": ["WATER"]}, {"op": "replace", "path": "/resource/items/1/sign_attributes_nulled", "value": true}]),
}

cases["denies without context.profile.jurisdiction"] := {
	"passes": false,
	"question": json.patch(base.local, [{"op": "remove", "path": "/context/profile/jurisdiction"}]),
}

cases["denies without resource.items"] := {
	"passes": false,
	"question": json.patch(base.local, [{"op": "remove", "path": "/resource/items"}]),
}
