package fleetgate_test.intake.cabin_dropped

import data.examples.intake as base
import data.fleetgate.intake

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "cabin_dropped" in intake.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes vehicle": {"passes": true, "question": base.vehicle},
	"passes carrier": {"passes": true, "question": base.carrier},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: no classes": {"passes": false, "question": json.patch(base.vehicle, [{"op": "replace", "path": "/resource/classes_declared", "value": []}])},
	"denies: no classes on an accredited system": {"passes": false, "question": json.patch(base.vehicle, [{"op": "replace", "path": "/resource/classes_declared", "value": []}, {"op": "replace", "path": "/context/accredited_for_secrets", "value": true}])},
	"denies: nothing but cabin data": {"passes": false, "question": json.patch(base.vehicle, [{"op": "replace", "path": "/resource/classes_declared", "value": ["CABIN", "AUDIO"]}])},
	"denies: a clock before all law": {"passes": false, "question": json.patch(base.carrier, [{"op": "replace", "path": "/context/time", "value": "2015-01-01T00:00:00Z"}])},
}
