package fleetgate_test.intake.known_frame

import data.examples
import data.fleetgate.intake

test_passes_vehicle if "known_frame" in intake.passed with input as examples.intake.vehicle

test_passes_carrier if "known_frame" in intake.passed with input as examples.intake.carrier

test_passes_eu if "known_frame" in intake.passed with input as examples.intake.eu

test_denies_unknown_coordinate_system if {
	question := json.patch(examples.intake.vehicle, [{"op": "replace", "path": "/resource/crs", "value": "BEIJING54"}])
	missing := intake.missing with input as question
	missing == {"known_frame"}
}

test_denies_unknown_class if {
	question := json.patch(examples.intake.vehicle, [{"op": "replace", "path": "/resource/classes_declared/0", "value": "RADAR_CUBE"}])
	missing := intake.missing with input as question
	missing == {"known_frame"}
}

test_denies_no_classes if {
	question := json.patch(examples.intake.vehicle, [{"op": "replace", "path": "/resource/classes_declared", "value": []}])
	missing := intake.missing with input as question
	missing == {"cabin_dropped", "items_declared", "known_frame"}
}

test_denies_a_clock_before_all_law if {
	question := json.patch(examples.intake.carrier, [{"op": "replace", "path": "/context/time", "value": "2015-01-01T00:00:00Z"}])
	missing := intake.missing with input as question
	missing == {"cabin_dropped", "domestic_subject", "known_frame", "period_plausible", "policy_in_force", "sealed_at_rest", "surveying_certificate"}
}

test_denies_without_resource_classes_declared if {
	question := json.patch(examples.intake.vehicle, [{"op": "remove", "path": "/resource/classes_declared"}])
	missing := intake.missing with input as question
	"known_frame" in missing
}

test_denies_without_resource_crs if {
	question := json.patch(examples.intake.vehicle, [{"op": "remove", "path": "/resource/crs"}])
	missing := intake.missing with input as question
	"known_frame" in missing
}
