package fleetgate_test.publish.surveying_certificate

import data.examples
import data.fleetgate.publish

test_passes_two_operators if "surveying_certificate" in publish.passed with input as examples.publish.two_operators

test_passes_one_operator if "surveying_certificate" in publish.passed with input as examples.publish.one_operator

test_passes_eu if "surveying_certificate" in publish.passed with input as examples.publish.eu

test_denies_the_certificate_has_expired_since if {
	question := json.patch(examples.publish.two_operators, [{"op": "replace", "path": "/context/certificate/valid_to", "value": "2026-05-02T12:00:00Z"}])
	missing := publish.missing with input as question
	missing == {"surveying_certificate"}
}

test_denies_the_certificate_is_of_another_kind if {
	question := json.patch(examples.publish.two_operators, [{"op": "replace", "path": "/context/certificate/kinds", "value": []}])
	missing := publish.missing with input as question
	missing == {"surveying_certificate"}
}

test_denies_no_certificate if {
	question := json.patch(examples.publish.two_operators, [{"op": "replace", "path": "/context/certificate", "value": null}])
	missing := publish.missing with input as question
	missing == {"surveying_certificate"}
}

test_denies_without_context_certificate if {
	question := json.patch(examples.publish.two_operators, [{"op": "remove", "path": "/context/certificate"}])
	missing := publish.missing with input as question
	"surveying_certificate" in missing
}

test_denies_without_context_profile_jurisdiction if {
	question := json.patch(examples.publish.two_operators, [{"op": "remove", "path": "/context/profile/jurisdiction"}])
	missing := publish.missing with input as question
	"surveying_certificate" in missing
}
