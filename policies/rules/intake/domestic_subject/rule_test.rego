package fleetgate_test.intake.domestic_subject

import data.examples
import data.fleetgate.intake

test_passes_vehicle if "domestic_subject" in intake.passed with input as examples.intake.vehicle

test_passes_carrier if "domestic_subject" in intake.passed with input as examples.intake.carrier

test_passes_eu if "domestic_subject" in intake.passed with input as examples.intake.eu

test_denies_foreign_deliverer if {
	question := json.patch(examples.intake.carrier, [{"op": "replace", "path": "/subject/nationality", "value": "US"}])
	missing := intake.missing with input as question
	missing == {"domestic_subject"}
}

test_denies_deliverer_from_hong_kong_is_across_the_customs_border if {
	question := json.patch(examples.intake.carrier, [{"op": "replace", "path": "/subject/nationality", "value": "HK"}])
	missing := intake.missing with input as question
	missing == {"domestic_subject"}
}

test_denies_eu_profile_refuses_a_third_country if {
	question := json.patch(examples.intake.eu, [{"op": "replace", "path": "/subject/nationality", "value": "US"}])
	missing := intake.missing with input as question
	missing == {"domestic_subject"}
}

test_denies_a_clock_before_all_law if {
	question := json.patch(examples.intake.carrier, [{"op": "replace", "path": "/context/time", "value": "2015-01-01T00:00:00Z"}])
	missing := intake.missing with input as question
	missing == {"cabin_dropped", "domestic_subject", "known_frame", "period_plausible", "policy_in_force", "sealed_at_rest", "surveying_certificate"}
}

test_denies_without_subject_nationality if {
	question := json.patch(examples.intake.vehicle, [{"op": "remove", "path": "/subject/nationality"}])
	missing := intake.missing with input as question
	"domestic_subject" in missing
}
