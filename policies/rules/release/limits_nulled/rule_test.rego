package fleetgate_test.release.limits_nulled

import data.examples
import data.fleetgate.release

test_passes_local if "limits_nulled" in release.passed with input as examples.release.local

test_passes_offset if "limits_nulled" in release.passed with input as examples.release.offset

test_passes_approved if "limits_nulled" in release.passed with input as examples.release.approved

test_passes_public if "limits_nulled" in release.passed with input as examples.release.public

test_passes_eu if "limits_nulled" in release.passed with input as examples.release.eu

test_denies_a_bridge_load_is_kept if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/resource/items/1/tags", "value": ["BRIDGE_LOAD"]}])
	missing := release.missing with input as question
	missing == {"limits_nulled"}
}

test_denies_elevations_are_kept if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/resource/items/1/tags", "value": ["ELEV"]}])
	missing := release.missing with input as question
	missing == {"limits_nulled"}
}

test_denies_without_context_profile_jurisdiction if {
	question := json.patch(examples.release.local, [{"op": "remove", "path": "/context/profile/jurisdiction"}])
	missing := release.missing with input as question
	"limits_nulled" in missing
}

test_denies_without_resource_items if {
	question := json.patch(examples.release.local, [{"op": "remove", "path": "/resource/items"}])
	missing := release.missing with input as question
	"limits_nulled" in missing
}
