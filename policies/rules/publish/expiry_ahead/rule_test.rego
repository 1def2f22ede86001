package fleetgate_test.publish.expiry_ahead

import data.examples
import data.fleetgate.publish

test_passes_two_operators if "expiry_ahead" in publish.passed with input as examples.publish.two_operators

test_passes_one_operator if "expiry_ahead" in publish.passed with input as examples.publish.one_operator

test_passes_eu if "expiry_ahead" in publish.passed with input as examples.publish.eu

test_denies_the_release_has_expired if {
	question := json.patch(examples.publish.two_operators, [{"op": "replace", "path": "/context/expires_at", "value": "2026-05-02T12:00:00Z"}])
	missing := publish.missing with input as question
	missing == {"expiry_ahead"}
}

test_denies_without_context_expires_at if {
	question := json.patch(examples.publish.two_operators, [{"op": "remove", "path": "/context/expires_at"}])
	missing := publish.missing with input as question
	"expiry_ahead" in missing
}

test_denies_without_context_time if {
	question := json.patch(examples.publish.two_operators, [{"op": "remove", "path": "/context/time"}])
	missing := publish.missing with input as question
	"expiry_ahead" in missing
}
