package fleetgate_test.release.slope_reviewed

import data.examples
import data.fleetgate.release

test_passes_local if "slope_reviewed" in release.passed with input as examples.release.local

test_passes_offset if "slope_reviewed" in release.passed with input as examples.release.offset

test_passes_approved if "slope_reviewed" in release.passed with input as examples.release.approved

test_passes_public if "slope_reviewed" in release.passed with input as examples.release.public

test_passes_eu if "slope_reviewed" in release.passed with input as examples.release.eu

test_denies_slope_goes_public_unreviewed if {
	question := json.patch(examples.release.public, [{"op": "replace", "path": "/resource/items/1/tags", "value": ["SLOPE_CURV"]}])
	missing := release.missing with input as question
	missing == {"slope_reviewed"}
}

test_denies_without_context_profile_jurisdiction if {
	question := json.patch(examples.release.local, [{"op": "remove", "path": "/context/profile/jurisdiction"}])
	missing := release.missing with input as question
	"slope_reviewed" in missing
}

test_denies_without_resource_items if {
	question := json.patch(examples.release.local, [{"op": "remove", "path": "/resource/items"}])
	missing := release.missing with input as question
	"slope_reviewed" in missing
}
