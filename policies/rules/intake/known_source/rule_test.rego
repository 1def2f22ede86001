package fleetgate_test.intake.known_source

import data.examples.intake as base
import data.fleetgate.intake

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "known_source" in intake.passed with input as case.question
	passes != case.passes
}

cases["passes vehicle"] := {
	"passes": true,
	"question": base.vehicle,
}

cases["passes carrier"] := {
	"passes": true,
	"question": base.carrier,
}

cases["passes eu"] := {
	"passes": true,
	"question": base.eu,
}

cases["denies: vehicle is not enrolled"] := {
	"passes": false,
	"question": json.patch(base.vehicle, [{"op": "replace", "path": "/subject/enrolled", "value": false}]),
}

cases["denies: vehicle lacks its role"] := {
	"passes": false,
	"question": json.patch(base.vehicle, [{"op": "replace", "path": "/subject/roles", "value": []}]),
}

cases["denies: manifest is not signed"] := {
	"passes": false,
	"question": json.patch(base.vehicle, [{"op": "replace", "path": "/resource/manifest_signed", "value": false}]),
}

cases["denies: a person cannot pose as a vehicle"] := {
	"passes": false,
	"question": json.patch(base.vehicle, [{"op": "replace", "path": "/subject/kind", "value": "person"}]),
}

cases["denies: a vehicle's data cannot pose as a carrier's"] := {
	"passes": false,
	"question": json.patch(base.vehicle, [{"op": "replace", "path": "/resource/source", "value": "carrier"}]),
}

cases["denies: a vehicle cannot deliver a carrier"] := {
	"passes": false,
	"question": json.patch(base.carrier, [{"op": "replace", "path": "/subject/kind", "value": "vehicle"}]),
}

cases["denies: a carrier's data cannot pose as a vehicle's"] := {
	"passes": false,
	"question": json.patch(base.carrier, [{"op": "replace", "path": "/resource/source", "value": "vehicle"}]),
}

cases["denies: carrier is not registered"] := {
	"passes": false,
	"question": json.patch(base.carrier, [{"op": "replace", "path": "/resource/carrier_registered", "value": false}]),
}

cases["denies: carrier was checked in by an operator"] := {
	"passes": false,
	"question": json.patch(base.carrier, [{"op": "replace", "path": "/resource/carrier_checked_in_by_role", "value": "operator"}]),
}

cases["denies: carrier brought by an engineer"] := {
	"passes": false,
	"question": json.patch(base.carrier, [{"op": "replace", "path": "/subject/roles", "value": ["engineer"]}]),
}

cases["denies without resource.carrier_checked_in_by_role"] := {
	"passes": false,
	"question": json.patch(base.carrier, [{"op": "remove", "path": "/resource/carrier_checked_in_by_role"}]),
}

cases["denies without resource.carrier_registered"] := {
	"passes": false,
	"question": json.patch(base.carrier, [{"op": "remove", "path": "/resource/carrier_registered"}]),
}

cases["denies without resource.manifest_signed"] := {
	"passes": false,
	"question": json.patch(base.vehicle, [{"op": "remove", "path": "/resource/manifest_signed"}]),
}

cases["denies without resource.source"] := {
	"passes": false,
	"question": json.patch(base.vehicle, [{"op": "remove", "path": "/resource/source"}]),
}

cases["denies without subject.enrolled"] := {
	"passes": false,
	"question": json.patch(base.vehicle, [{"op": "remove", "path": "/subject/enrolled"}]),
}

cases["denies without subject.kind"] := {
	"passes": false,
	"question": json.patch(base.vehicle, [{"op": "remove", "path": "/subject/kind"}]),
}

cases["denies without subject.roles"] := {
	"passes": false,
	"question": json.patch(base.vehicle, [{"op": "remove", "path": "/subject/roles"}]),
}
