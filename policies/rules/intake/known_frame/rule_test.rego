package fleetgate_test.intake.known_frame

import data.examples.intake as base
import data.fleetgate.intake

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "known_frame" in intake.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes vehicle": {"passes": true, "question": base.vehicle},
	"passes carrier": {"passes": true, "question": base.carrier},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: unknown coordinate system": {"passes": false, "question": json.patch(base.vehicle, [{"op": "replace", "path": "/resource/crs", "value": "BEIJING54"}])},
	"passes a map of nuScenes": {"passes": true, "question": json.patch(base.vehicle, [{"op": "replace", "path": "/resource/crs", "value": "nuscenes:singapore-hollandvillage"}])},
	"denies: an unknown map of nuScenes": {"passes": false, "question": json.patch(base.vehicle, [{"op": "replace", "path": "/resource/crs", "value": "nuscenes:beijing-haidian"}])},
	"denies: unknown class": {"passes": false, "question": json.patch(base.vehicle, [{"op": "replace", "path": "/resource/classes_declared/0", "value": "RADAR_CUBE"}])},
	"denies: no classes": {"passes": false, "question": json.patch(base.vehicle, [{"op": "replace", "path": "/resource/classes_declared", "value": []}])},
	"denies: a clock before all law": {"passes": false, "question": json.patch(base.carrier, [{"op": "replace", "path": "/context/time", "value": "2015-01-01T00:00:00Z"}])},
	"denies without resource.classes_declared": {"passes": false, "question": json.patch(base.vehicle, [{"op": "remove", "path": "/resource/classes_declared"}])},
	"denies without resource.crs": {"passes": false, "question": json.patch(base.vehicle, [{"op": "remove", "path": "/resource/crs"}])},
}
