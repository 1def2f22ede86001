package fleetgate_test.serve.purpose_bound

import data.examples
import data.fleetgate.serve

test_passes_engineer if "purpose_bound" in serve.passed with input as examples.serve.engineer

test_passes_eu if "purpose_bound" in serve.passed with input as examples.serve.eu

test_denies_another_purpose if {
	question := json.patch(examples.serve.engineer, [{"op": "replace", "path": "/context/purpose", "value": "marketing"}])
	missing := serve.missing with input as question
	missing == {"purpose_bound"}
}

test_denies_grant_for_another_purpose if {
	question := json.patch(examples.serve.engineer, [{"op": "replace", "path": "/context/grant/purpose", "value": "simulation"}])
	missing := serve.missing with input as question
	missing == {"purpose_bound"}
}

test_denies_release_for_another_purpose if {
	question := json.patch(examples.serve.engineer, [{"op": "replace", "path": "/context/release/purpose", "value": "simulation"}])
	missing := serve.missing with input as question
	missing == {"purpose_bound"}
}

test_denies_without_context_grant_purpose if {
	question := json.patch(examples.serve.engineer, [{"op": "remove", "path": "/context/grant/purpose"}])
	missing := serve.missing with input as question
	"purpose_bound" in missing
}

test_denies_without_context_purpose if {
	question := json.patch(examples.serve.engineer, [{"op": "remove", "path": "/context/purpose"}])
	missing := serve.missing with input as question
	"purpose_bound" in missing
}

test_denies_without_context_release_purpose if {
	question := json.patch(examples.serve.engineer, [{"op": "remove", "path": "/context/release/purpose"}])
	missing := serve.missing with input as question
	"purpose_bound" in missing
}
