package fleetgate_test.intake.surveying_certificate

import data.examples
import data.fleetgate.intake

test_passes_vehicle if "surveying_certificate" in intake.passed with input as examples.intake.vehicle

test_passes_carrier if "surveying_certificate" in intake.passed with input as examples.intake.carrier

test_passes_eu if "surveying_certificate" in intake.passed with input as examples.intake.eu

test_denies_no_certificate if {
	question := json.patch(examples.intake.vehicle, [{"op": "replace", "path": "/context/certificate", "value": null}])
	missing := intake.missing with input as question
	missing == {"surveying_certificate"}
}

test_denies_certificate_has_expired if {
	question := json.patch(examples.intake.vehicle, [{"op": "replace", "path": "/context/certificate/valid_to", "value": "2026-05-02T09:59:59Z"}])
	missing := intake.missing with input as question
	missing == {"surveying_certificate"}
}

test_denies_recording_began_before_the_certificate if {
	question := json.patch(examples.intake.vehicle, [{"op": "replace", "path": "/resource/started_at", "value": "2024-12-31T23:59:59Z"}])
	missing := intake.missing with input as question
	missing == {"surveying_certificate"}
}

test_denies_recording_ended_after_the_certificate_though_it_is_plausible if {
	question := json.patch(examples.intake.vehicle, [{"op": "replace", "path": "/context/certificate/valid_to", "value": "2026-05-01T09:00:00Z"}])
	missing := intake.missing with input as question
	missing == {"surveying_certificate"}
}

test_denies_region_outside_the_certificate if {
	question := json.patch(examples.intake.vehicle, [{"op": "replace", "path": "/resource/region", "value": "440305"}])
	missing := intake.missing with input as question
	missing == {"surveying_certificate"}
}

test_denies_certificate_of_another_kind if {
	question := json.patch(examples.intake.vehicle, [{"op": "replace", "path": "/context/certificate/kinds", "value": ["engineering_survey"]}])
	missing := intake.missing with input as question
	missing == {"surveying_certificate"}
}

test_denies_certificate_without_regions if {
	question := json.patch(examples.intake.vehicle, [{"op": "replace", "path": "/context/certificate/regions", "value": []}])
	missing := intake.missing with input as question
	missing == {"surveying_certificate"}
}

test_denies_a_clock_before_all_law if {
	question := json.patch(examples.intake.carrier, [{"op": "replace", "path": "/context/time", "value": "2015-01-01T00:00:00Z"}])
	missing := intake.missing with input as question
	missing == {"cabin_dropped", "domestic_subject", "known_frame", "period_plausible", "policy_in_force", "sealed_at_rest", "surveying_certificate"}
}

test_denies_without_context_certificate if {
	question := json.patch(examples.intake.vehicle, [{"op": "remove", "path": "/context/certificate"}])
	missing := intake.missing with input as question
	"surveying_certificate" in missing
}

test_denies_without_context_certificate_valid_from if {
	question := json.patch(examples.intake.vehicle, [{"op": "remove", "path": "/context/certificate/valid_from"}])
	missing := intake.missing with input as question
	"surveying_certificate" in missing
}

test_denies_without_context_certificate_valid_to if {
	question := json.patch(examples.intake.vehicle, [{"op": "remove", "path": "/context/certificate/valid_to"}])
	missing := intake.missing with input as question
	"surveying_certificate" in missing
}

test_denies_without_context_profile_jurisdiction if {
	question := json.patch(examples.intake.vehicle, [{"op": "remove", "path": "/context/profile/jurisdiction"}])
	missing := intake.missing with input as question
	"surveying_certificate" in missing
}

test_denies_without_resource_ended_at if {
	question := json.patch(examples.intake.vehicle, [{"op": "remove", "path": "/resource/ended_at"}])
	missing := intake.missing with input as question
	"surveying_certificate" in missing
}

test_denies_without_resource_region if {
	question := json.patch(examples.intake.vehicle, [{"op": "remove", "path": "/resource/region"}])
	missing := intake.missing with input as question
	"surveying_certificate" in missing
}

test_denies_without_resource_started_at if {
	question := json.patch(examples.intake.vehicle, [{"op": "remove", "path": "/resource/started_at"}])
	missing := intake.missing with input as question
	"surveying_certificate" in missing
}
