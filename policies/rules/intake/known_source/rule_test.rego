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

cases := {
	"passes vehicle": {"passes": true, "question": base.vehicle},
	"passes carrier": {"passes": true, "question": base.carrier},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: vehicle is not enrolled": {"passes": false, "question": json.patch(base.vehicle, [{"op": "replace", "path": "/subject/enrolled", "value": false}])},
	"denies: vehicle lacks its role": {"passes": false, "question": json.patch(base.vehicle, [{"op": "replace", "path": "/subject/roles", "value": []}])},
	"denies: manifest is not signed": {"passes": false, "question": json.patch(base.vehicle, [{"op": "replace", "path": "/resource/manifest_signed", "value": false}])},
	"denies: a person cannot pose as a vehicle": {"passes": false, "question": json.patch(base.vehicle, [{"op": "replace", "path": "/subject/kind", "value": "person"}])},
	"denies: a vehicle's data cannot pose as a carrier's": {"passes": false, "question": json.patch(base.vehicle, [{"op": "replace", "path": "/resource/source", "value": "carrier"}])},
	"denies: a vehicle cannot deliver a carrier": {"passes": false, "question": json.patch(base.carrier, [{"op": "replace", "path": "/subject/kind", "value": "vehicle"}])},
	"denies: a carrier's data cannot pose as a vehicle's": {"passes": false, "question": json.patch(base.carrier, [{"op": "replace", "path": "/resource/source", "value": "vehicle"}])},
	"denies: carrier is not registered": {"passes": false, "question": json.patch(base.carrier, [{"op": "replace", "path": "/resource/carrier_registered", "value": false}])},
	"denies: carrier was checked in by an operator": {"passes": false, "question": json.patch(base.carrier, [{"op": "replace", "path": "/resource/carrier_checked_in_by_role", "value": "operator"}])},
	"denies: carrier brought by an engineer": {"passes": false, "question": json.patch(base.carrier, [{"op": "replace", "path": "/subject/roles", "value": ["engineer"]}])},
	"denies without resource.carrier_checked_in_by_role": {"passes": false, "question": json.patch(base.carrier, [{"op": "remove", "path": "/resource/carrier_checked_in_by_role"}])},
	"denies without resource.carrier_registered": {"passes": false, "question": json.patch(base.carrier, [{"op": "remove", "path": "/resource/carrier_registered"}])},
	"denies without resource.manifest_signed": {"passes": false, "question": json.patch(base.vehicle, [{"op": "remove", "path": "/resource/manifest_signed"}])},
	"denies without resource.source": {"passes": false, "question": json.patch(base.vehicle, [{"op": "remove", "path": "/resource/source"}])},
	"denies without subject.enrolled": {"passes": false, "question": json.patch(base.vehicle, [{"op": "remove", "path": "/subject/enrolled"}])},
	"denies without subject.kind": {"passes": false, "question": json.patch(base.vehicle, [{"op": "remove", "path": "/subject/kind"}])},
	"denies without subject.roles": {"passes": false, "question": json.patch(base.vehicle, [{"op": "remove", "path": "/subject/roles"}])},
}
