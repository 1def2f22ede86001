package fleetgate_test.serve.grant_live

import data.examples
import data.fleetgate.serve

test_passes_engineer if "grant_live" in serve.passed with input as examples.serve.engineer

test_passes_eu if "grant_live" in serve.passed with input as examples.serve.eu

test_denies_somebody_else_s_grant if {
	question := json.patch(examples.serve.engineer, [{"op": "replace", "path": "/context/grant/subject", "value": "person-8"}])
	missing := serve.missing with input as question
	missing == {"grant_live"}
}

test_denies_a_grant_on_another_release if {
	question := json.patch(examples.serve.engineer, [{"op": "replace", "path": "/context/grant/release", "value": "rel-2"}])
	missing := serve.missing with input as question
	missing == {"grant_live"}
}

test_denies_grant_is_revoked if {
	question := json.patch(examples.serve.engineer, [{"op": "replace", "path": "/context/grant/revoked", "value": true}])
	missing := serve.missing with input as question
	missing == {"grant_live"}
}

test_denies_grant_has_expired if {
	question := json.patch(examples.serve.engineer, [{"op": "replace", "path": "/context/grant/not_after", "value": "2026-05-03T08:00:00Z"}])
	missing := serve.missing with input as question
	missing == {"grant_live"}
}

test_denies_grant_has_not_begun if {
	question := json.patch(examples.serve.engineer, [{"op": "replace", "path": "/context/grant/not_before", "value": "2026-05-03T08:00:01Z"}])
	missing := serve.missing with input as question
	missing == {"grant_live"}
}

test_denies_without_context_grant_not_after if {
	question := json.patch(examples.serve.engineer, [{"op": "remove", "path": "/context/grant/not_after"}])
	missing := serve.missing with input as question
	"grant_live" in missing
}

test_denies_without_context_grant_not_before if {
	question := json.patch(examples.serve.engineer, [{"op": "remove", "path": "/context/grant/not_before"}])
	missing := serve.missing with input as question
	"grant_live" in missing
}

test_denies_without_context_grant_release if {
	question := json.patch(examples.serve.engineer, [{"op": "remove", "path": "/context/grant/release"}])
	missing := serve.missing with input as question
	"grant_live" in missing
}

test_denies_without_context_grant_revoked if {
	question := json.patch(examples.serve.engineer, [{"op": "remove", "path": "/context/grant/revoked"}])
	missing := serve.missing with input as question
	"grant_live" in missing
}

test_denies_without_context_grant_subject if {
	question := json.patch(examples.serve.engineer, [{"op": "remove", "path": "/context/grant/subject"}])
	missing := serve.missing with input as question
	"grant_live" in missing
}

test_denies_without_context_time if {
	question := json.patch(examples.serve.engineer, [{"op": "remove", "path": "/context/time"}])
	missing := serve.missing with input as question
	"grant_live" in missing
}

test_denies_without_resource_release if {
	question := json.patch(examples.serve.engineer, [{"op": "remove", "path": "/resource/release"}])
	missing := serve.missing with input as question
	"grant_live" in missing
}

test_denies_without_subject_id if {
	question := json.patch(examples.serve.engineer, [{"op": "remove", "path": "/subject/id"}])
	missing := serve.missing with input as question
	"grant_live" in missing
}
