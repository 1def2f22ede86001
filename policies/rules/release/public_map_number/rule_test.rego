package fleetgate_test.release.public_map_number

import data.examples
import data.fleetgate.release

test_passes_local if "public_map_number" in release.passed with input as examples.release.local

test_passes_offset if "public_map_number" in release.passed with input as examples.release.offset

test_passes_approved if "public_map_number" in release.passed with input as examples.release.approved

test_passes_public if "public_map_number" in release.passed with input as examples.release.public

test_passes_eu if "public_map_number" in release.passed with input as examples.release.eu

test_denies_public_without_a_map_number if {
	question := json.patch(examples.release.public, [{"op": "replace", "path": "/context/map_number", "value": null}])
	missing := release.missing with input as question
	missing == {"public_map_number"}
}

test_denies_public_with_a_made_up_map_number if {
	question := json.patch(examples.release.public, [{"op": "replace", "path": "/context/map_number", "value": "1234"}])
	missing := release.missing with input as question
	missing == {"public_map_number"}
}

test_denies_sensitive_information_goes_public if {
	question := json.patch(examples.release.public, [{"op": "replace", "path": "/resource/items/1/level_out", "value": "S3_SENSITIVE_GEO"}])
	missing := release.missing with input as question
	missing == {"public_map_number"}
}

test_denies_without_context_destination_zone if {
	question := json.patch(examples.release.local, [{"op": "remove", "path": "/context/destination_zone"}])
	missing := release.missing with input as question
	"public_map_number" in missing
}

test_denies_without_context_map_number if {
	question := json.patch(examples.release.public, [{"op": "remove", "path": "/context/map_number"}])
	missing := release.missing with input as question
	"public_map_number" in missing
}

test_denies_without_context_profile_jurisdiction if {
	question := json.patch(examples.release.local, [{"op": "remove", "path": "/context/profile/jurisdiction"}])
	missing := release.missing with input as question
	"public_map_number" in missing
}

test_denies_without_resource_items if {
	question := json.patch(examples.release.public, [{"op": "remove", "path": "/resource/items"}])
	missing := release.missing with input as question
	"public_map_number" in missing
}
