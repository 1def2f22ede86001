package fleetgate_test.release.expiry_ahead

import data.examples
import data.fleetgate.release

test_passes_local if "expiry_ahead" in release.passed with input as examples.release.local

test_passes_offset if "expiry_ahead" in release.passed with input as examples.release.offset

test_passes_approved if "expiry_ahead" in release.passed with input as examples.release.approved

test_passes_public if "expiry_ahead" in release.passed with input as examples.release.public

test_passes_eu if "expiry_ahead" in release.passed with input as examples.release.eu

test_denies_release_expires_at_this_instant if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/context/expires_at", "value": "2026-05-02T10:00:00Z"}])
	missing := release.missing with input as question
	missing == {"expiry_ahead"}
}

test_denies_without_context_expires_at if {
	question := json.patch(examples.release.local, [{"op": "remove", "path": "/context/expires_at"}])
	missing := release.missing with input as question
	"expiry_ahead" in missing
}

test_denies_without_context_time if {
	question := json.patch(examples.release.local, [{"op": "remove", "path": "/context/time"}])
	missing := release.missing with input as question
	"expiry_ahead" in missing
}
