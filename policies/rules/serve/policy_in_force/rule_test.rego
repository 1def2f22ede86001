package fleetgate_test.serve.policy_in_force

import data.examples
import data.fleetgate.serve

test_passes_engineer if "policy_in_force" in serve.passed with input as examples.serve.engineer

test_passes_eu if "policy_in_force" in serve.passed with input as examples.serve.eu

test_denies_policy_has_expired if {
	question := json.patch(examples.serve.engineer, [{"op": "replace", "path": "/context/policy/not_after", "value": "2026-05-03T08:00:00Z"}])
	missing := serve.missing with input as question
	missing == {"policy_in_force"}
}

test_denies_without_context_policy if {
	question := json.patch(examples.serve.engineer, [{"op": "remove", "path": "/context/policy"}])
	missing := serve.missing with input as question
	"policy_in_force" in missing
}

test_denies_without_context_time if {
	question := json.patch(examples.serve.engineer, [{"op": "remove", "path": "/context/time"}])
	missing := serve.missing with input as question
	"policy_in_force" in missing
}
