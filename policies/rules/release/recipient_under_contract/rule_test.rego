package fleetgate_test.release.recipient_under_contract

import data.examples
import data.fleetgate.release

test_passes_local if "recipient_under_contract" in release.passed with input as examples.release.local

test_passes_offset if "recipient_under_contract" in release.passed with input as examples.release.offset

test_passes_approved if "recipient_under_contract" in release.passed with input as examples.release.approved

test_passes_public if "recipient_under_contract" in release.passed with input as examples.release.public

test_passes_eu if "recipient_under_contract" in release.passed with input as examples.release.eu

test_denies_recipient_is_not_registered if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/context/recipient/registered", "value": false}])
	missing := release.missing with input as question
	missing == {"recipient_under_contract"}
}

test_denies_recipient_has_no_contract if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/context/recipient/contract", "value": false}])
	missing := release.missing with input as question
	missing == {"recipient_under_contract"}
}

test_denies_without_context_recipient_contract if {
	question := json.patch(examples.release.local, [{"op": "remove", "path": "/context/recipient/contract"}])
	missing := release.missing with input as question
	"recipient_under_contract" in missing
}

test_denies_without_context_recipient_registered if {
	question := json.patch(examples.release.local, [{"op": "remove", "path": "/context/recipient/registered"}])
	missing := release.missing with input as question
	"recipient_under_contract" in missing
}
