package fleetgate_test.publish.known_level

import data.examples
import data.fleetgate.publish

test_passes_two_operators if "known_level" in publish.passed with input as examples.publish.two_operators

test_passes_one_operator if "known_level" in publish.passed with input as examples.publish.one_operator

test_passes_eu if "known_level" in publish.passed with input as examples.publish.eu

test_denies_state_secret if {
	question := json.patch(examples.publish.two_operators, [{"op": "replace", "path": "/resource/level", "value": "S4_STATE_SECRET"}])
	missing := publish.missing with input as question
	missing == {"known_level"}
}

test_denies_a_source_of_unknown_level if {
	question := json.patch(examples.publish.two_operators, [{"op": "replace", "path": "/resource/source_level", "value": "SX_UNKNOWN"}])
	missing := publish.missing with input as question
	missing == {"known_level"}
}

test_denies_without_resource_level if {
	question := json.patch(examples.publish.two_operators, [{"op": "remove", "path": "/resource/level"}])
	missing := publish.missing with input as question
	"known_level" in missing
}

test_denies_without_resource_source_level if {
	question := json.patch(examples.publish.two_operators, [{"op": "remove", "path": "/resource/source_level"}])
	missing := publish.missing with input as question
	"known_level" in missing
}
