package fleetgate_test.intake.period_plausible

import data.examples
import data.fleetgate.intake

test_passes_vehicle if "period_plausible" in intake.passed with input as examples.intake.vehicle

test_passes_carrier if "period_plausible" in intake.passed with input as examples.intake.carrier

test_passes_eu if "period_plausible" in intake.passed with input as examples.intake.eu

test_denies_recording_ends_before_it_starts if {
	question := json.patch(examples.intake.vehicle, [{"op": "replace", "path": "/resource/started_at", "value": "2026-05-01T10:00:00Z"}])
	missing := intake.missing with input as question
	missing == {"period_plausible"}
}

test_denies_recording_ends_in_the_future if {
	question := json.patch(examples.intake.vehicle, [{"op": "replace", "path": "/resource/ended_at", "value": "2026-05-03T09:30:00Z"}])
	missing := intake.missing with input as question
	missing == {"period_plausible"}
}

test_denies_a_clock_before_all_law if {
	question := json.patch(examples.intake.carrier, [{"op": "replace", "path": "/context/time", "value": "2015-01-01T00:00:00Z"}])
	missing := intake.missing with input as question
	missing == {"cabin_dropped", "domestic_subject", "known_frame", "period_plausible", "policy_in_force", "sealed_at_rest", "surveying_certificate"}
}

test_denies_without_context_time if {
	question := json.patch(examples.intake.vehicle, [{"op": "remove", "path": "/context/time"}])
	missing := intake.missing with input as question
	"period_plausible" in missing
}

test_denies_without_resource_ended_at if {
	question := json.patch(examples.intake.vehicle, [{"op": "remove", "path": "/resource/ended_at"}])
	missing := intake.missing with input as question
	"period_plausible" in missing
}

test_denies_without_resource_started_at if {
	question := json.patch(examples.intake.vehicle, [{"op": "remove", "path": "/resource/started_at"}])
	missing := intake.missing with input as question
	"period_plausible" in missing
}
