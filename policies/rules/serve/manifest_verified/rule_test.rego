package fleetgate_test.serve.manifest_verified

import data.examples
import data.fleetgate.serve

test_passes_engineer if "manifest_verified" in serve.passed with input as examples.serve.engineer

test_passes_eu if "manifest_verified" in serve.passed with input as examples.serve.eu

test_denies_release_manifest_does_not_verify if {
	question := json.patch(examples.serve.engineer, [{"op": "replace", "path": "/resource/manifest_signature_verified", "value": false}])
	missing := serve.missing with input as question
	missing == {"manifest_verified"}
}

test_denies_without_resource_manifest_signature_verified if {
	question := json.patch(examples.serve.engineer, [{"op": "remove", "path": "/resource/manifest_signature_verified"}])
	missing := serve.missing with input as question
	"manifest_verified" in missing
}
