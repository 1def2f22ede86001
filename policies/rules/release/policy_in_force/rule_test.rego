package fleetgate_test.release.policy_in_force

import data.examples
import data.fleetgate.release

test_passes_local if "policy_in_force" in release.passed with input as examples.release.local

test_passes_offset if "policy_in_force" in release.passed with input as examples.release.offset

test_passes_approved if "policy_in_force" in release.passed with input as examples.release.approved

test_passes_public if "policy_in_force" in release.passed with input as examples.release.public

test_passes_eu if "policy_in_force" in release.passed with input as examples.release.eu

test_denies_policy_has_expired if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/context/policy/not_after", "value": "2026-05-01T00:00:00Z"}])
	missing := release.missing with input as question
	missing == {"policy_in_force"}
}

test_denies_without_context_policy if {
	question := json.patch(examples.release.local, [{"op": "remove", "path": "/context/policy"}])
	missing := release.missing with input as question
	"policy_in_force" in missing
}

test_denies_without_context_time if {
	question := json.patch(examples.release.local, [{"op": "remove", "path": "/context/time"}])
	missing := release.missing with input as question
	"policy_in_force" in missing
}
