package fleetgate_test.serve.release_live

import data.examples
import data.fleetgate.serve

test_passes_engineer if "release_live" in serve.passed with input as examples.serve.engineer

test_passes_eu if "release_live" in serve.passed with input as examples.serve.eu

test_denies_release_is_only_approved if {
	question := json.patch(examples.serve.engineer, [{"op": "replace", "path": "/resource/state", "value": "Approved"}])
	missing := serve.missing with input as question
	missing == {"release_live"}
}

test_denies_release_is_revoked if {
	question := json.patch(examples.serve.engineer, [{"op": "replace", "path": "/context/release/revoked", "value": true}])
	missing := serve.missing with input as question
	missing == {"release_live"}
}

test_denies_release_is_erased if {
	question := json.patch(examples.serve.engineer, [{"op": "replace", "path": "/resource/state", "value": "Erased"}])
	missing := serve.missing with input as question
	missing == {"release_live"}
}

test_denies_release_has_expired if {
	question := json.patch(examples.serve.engineer, [{"op": "replace", "path": "/context/release/expires_at", "value": "2026-05-03T08:00:00Z"}])
	missing := serve.missing with input as question
	missing == {"release_live"}
}

test_denies_without_context_release_expires_at if {
	question := json.patch(examples.serve.engineer, [{"op": "remove", "path": "/context/release/expires_at"}])
	missing := serve.missing with input as question
	"release_live" in missing
}

test_denies_without_context_release_revoked if {
	question := json.patch(examples.serve.engineer, [{"op": "remove", "path": "/context/release/revoked"}])
	missing := serve.missing with input as question
	"release_live" in missing
}

test_denies_without_context_time if {
	question := json.patch(examples.serve.engineer, [{"op": "remove", "path": "/context/time"}])
	missing := serve.missing with input as question
	"release_live" in missing
}

test_denies_without_resource_state if {
	question := json.patch(examples.serve.engineer, [{"op": "remove", "path": "/resource/state"}])
	missing := serve.missing with input as question
	"release_live" in missing
}
