package fleetgate_test.intake.sealed_at_rest

import data.examples
import data.fleetgate.intake

test_passes_vehicle if "sealed_at_rest" in intake.passed with input as examples.intake.vehicle

test_passes_carrier if "sealed_at_rest" in intake.passed with input as examples.intake.carrier

test_passes_eu if "sealed_at_rest" in intake.passed with input as examples.intake.eu

test_denies_unknown_suite if {
	question := json.patch(examples.intake.vehicle, [{"op": "replace", "path": "/context/vault/suite", "value": "rot13"}])
	missing := intake.missing with input as question
	missing == {"sealed_at_rest"}
}

test_denies_keys_held_elsewhere if {
	question := json.patch(examples.intake.vehicle, [{"op": "replace", "path": "/context/vault/keys_held_by_operator", "value": false}])
	missing := intake.missing with input as question
	missing == {"sealed_at_rest"}
}

test_denies_a_clock_before_all_law if {
	question := json.patch(examples.intake.carrier, [{"op": "replace", "path": "/context/time", "value": "2015-01-01T00:00:00Z"}])
	missing := intake.missing with input as question
	missing == {"cabin_dropped", "domestic_subject", "known_frame", "period_plausible", "policy_in_force", "sealed_at_rest", "surveying_certificate"}
}

test_denies_without_context_vault_keys_held_by_operator if {
	question := json.patch(examples.intake.vehicle, [{"op": "remove", "path": "/context/vault/keys_held_by_operator"}])
	missing := intake.missing with input as question
	"sealed_at_rest" in missing
}

test_denies_without_context_vault_suite if {
	question := json.patch(examples.intake.vehicle, [{"op": "remove", "path": "/context/vault/suite"}])
	missing := intake.missing with input as question
	"sealed_at_rest" in missing
}
