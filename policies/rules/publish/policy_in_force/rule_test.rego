package fleetgate_test.publish.policy_in_force

import data.examples
import data.fleetgate.publish

test_passes_two_operators if "policy_in_force" in publish.passed with input as examples.publish.two_operators

test_passes_one_operator if "policy_in_force" in publish.passed with input as examples.publish.one_operator

test_passes_eu if "policy_in_force" in publish.passed with input as examples.publish.eu

test_denies_policy_is_not_signed if {
	question := json.patch(examples.publish.two_operators, [{"op": "replace", "path": "/context/policy/signed", "value": false}])
	missing := publish.missing with input as question
	missing == {"policy_in_force"}
}

test_denies_without_context_policy if {
	question := json.patch(examples.publish.two_operators, [{"op": "remove", "path": "/context/policy"}])
	missing := publish.missing with input as question
	"policy_in_force" in missing
}

test_denies_without_context_time if {
	question := json.patch(examples.publish.two_operators, [{"op": "remove", "path": "/context/time"}])
	missing := publish.missing with input as question
	"policy_in_force" in missing
}
