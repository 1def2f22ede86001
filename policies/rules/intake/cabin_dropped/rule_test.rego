package fleetgate_test.intake.cabin_dropped

import data.examples
import data.fleetgate.intake

test_passes_vehicle if "cabin_dropped" in intake.passed with input as examples.intake.vehicle

test_passes_carrier if "cabin_dropped" in intake.passed with input as examples.intake.carrier

test_passes_eu if "cabin_dropped" in intake.passed with input as examples.intake.eu

test_denies_no_classes if {
	question := json.patch(examples.intake.vehicle, [{"op": "replace", "path": "/resource/classes_declared", "value": []}])
	missing := intake.missing with input as question
	missing == {"cabin_dropped", "items_declared", "known_frame"}
}

test_denies_no_classes_on_an_accredited_system if {
	question := json.patch(examples.intake.vehicle, [{"op": "replace", "path": "/resource/classes_declared", "value": []}, {"op": "replace", "path": "/context/accredited_for_secrets", "value": true}])
	missing := intake.missing with input as question
	missing == {"cabin_dropped", "items_declared"}
}

test_denies_nothing_but_cabin_data if {
	question := json.patch(examples.intake.vehicle, [{"op": "replace", "path": "/resource/classes_declared", "value": ["CABIN", "AUDIO"]}])
	missing := intake.missing with input as question
	missing == {"cabin_dropped"}
}

test_denies_a_clock_before_all_law if {
	question := json.patch(examples.intake.carrier, [{"op": "replace", "path": "/context/time", "value": "2015-01-01T00:00:00Z"}])
	missing := intake.missing with input as question
	missing == {"cabin_dropped", "domestic_subject", "known_frame", "period_plausible", "policy_in_force", "sealed_at_rest", "surveying_certificate"}
}
