package fleetgate_test.release.purpose_registered

import data.examples
import data.fleetgate.release

test_passes_local if "purpose_registered" in release.passed with input as examples.release.local

test_passes_offset if "purpose_registered" in release.passed with input as examples.release.offset

test_passes_approved if "purpose_registered" in release.passed with input as examples.release.approved

test_passes_public if "purpose_registered" in release.passed with input as examples.release.public

test_passes_eu if "purpose_registered" in release.passed with input as examples.release.eu

test_denies_purpose_is_not_registered if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/context/purpose", "value": "marketing"}])
	missing := release.missing with input as question
	missing == {"purpose_registered"}
}

test_denies_without_context_purpose if {
	question := json.patch(examples.release.local, [{"op": "remove", "path": "/context/purpose"}])
	missing := release.missing with input as question
	"purpose_registered" in missing
}

test_denies_without_context_purposes_registered if {
	question := json.patch(examples.release.local, [{"op": "remove", "path": "/context/purposes_registered"}])
	missing := release.missing with input as question
	"purpose_registered" in missing
}
