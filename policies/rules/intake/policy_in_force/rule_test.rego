package fleetgate_test.intake.policy_in_force

import data.examples
import data.fleetgate.intake

test_passes_vehicle if "policy_in_force" in intake.passed with input as examples.intake.vehicle

test_passes_carrier if "policy_in_force" in intake.passed with input as examples.intake.carrier

test_passes_eu if "policy_in_force" in intake.passed with input as examples.intake.eu

test_denies_unsigned_policy if {
	question := json.patch(examples.intake.vehicle, [{"op": "replace", "path": "/context/policy/signed", "value": false}])
	missing := intake.missing with input as question
	missing == {"policy_in_force"}
}

test_denies_policy_expires_at_this_instant if {
	question := json.patch(examples.intake.vehicle, [{"op": "replace", "path": "/context/policy/not_after", "value": "2026-05-02T10:00:00Z"}])
	missing := intake.missing with input as question
	missing == {"policy_in_force"}
}

test_denies_policy_not_yet_in_force if {
	question := json.patch(examples.intake.vehicle, [{"op": "replace", "path": "/context/policy/not_before", "value": "2026-05-02T10:00:01Z"}])
	missing := intake.missing with input as question
	missing == {"policy_in_force"}
}

test_denies_policy_of_another_bundle if {
	question := json.patch(examples.intake.vehicle, [{"op": "replace", "path": "/context/policy/digest", "value": "0000000000000000000000000000000000000000000000000000000000000000"}])
	missing := intake.missing with input as question
	missing == {"policy_in_force"}
}

test_denies_a_clock_before_all_law if {
	question := json.patch(examples.intake.carrier, [{"op": "replace", "path": "/context/time", "value": "2015-01-01T00:00:00Z"}])
	missing := intake.missing with input as question
	missing == {"cabin_dropped", "domestic_subject", "known_frame", "period_plausible", "policy_in_force", "sealed_at_rest", "surveying_certificate"}
}

test_denies_without_context_policy if {
	question := json.patch(examples.intake.vehicle, [{"op": "remove", "path": "/context/policy"}])
	missing := intake.missing with input as question
	"policy_in_force" in missing
}

test_denies_without_context_time if {
	question := json.patch(examples.intake.vehicle, [{"op": "remove", "path": "/context/time"}])
	missing := intake.missing with input as question
	"policy_in_force" in missing
}
