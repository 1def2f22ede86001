package fleetgate_test.intake.items_declared

import data.examples.intake as base
import data.fleetgate.intake

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "items_declared" in intake.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes vehicle": {"passes": true, "question": base.vehicle},
	"passes carrier": {"passes": true, "question": base.carrier},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: no items": {"passes": false, "question": json.patch(base.vehicle, [{"op": "replace", "path": "/resource/item_count", "value": 0}])},
	"denies: no classes": {"passes": false, "question": json.patch(base.vehicle, [{"op": "replace", "path": "/resource/classes_declared", "value": []}])},
	"denies: no classes on an accredited system": {"passes": false, "question": json.patch(base.vehicle, [{"op": "replace", "path": "/resource/classes_declared", "value": []}, {"op": "replace", "path": "/context/accredited_for_secrets", "value": true}])},
	"denies without resource.classes_declared": {"passes": false, "question": json.patch(base.vehicle, [{"op": "remove", "path": "/resource/classes_declared"}])},
	"denies without resource.item_count": {"passes": false, "question": json.patch(base.vehicle, [{"op": "remove", "path": "/resource/item_count"}])},
}
