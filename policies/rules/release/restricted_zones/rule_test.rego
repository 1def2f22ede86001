package fleetgate_test.release.restricted_zones

import data.examples
import data.fleetgate.release

test_passes_local if "restricted_zones" in release.passed with input as examples.release.local

test_passes_offset if "restricted_zones" in release.passed with input as examples.release.offset

test_passes_approved if "restricted_zones" in release.passed with input as examples.release.approved

test_passes_public if "restricted_zones" in release.passed with input as examples.release.public

test_passes_eu if "restricted_zones" in release.passed with input as examples.release.eu

test_denies_zones_were_not_checked if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/resource/items/0/zone_check", "value": "none"}])
	missing := release.missing with input as question
	missing == {"restricted_zones"}
}

test_denies_an_absolute_position_needs_a_test_and_not_a_word if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/resource/items/1/zone_check", "value": "attested"}])
	missing := release.missing with input as question
	missing == {"restricted_zones"}
}

test_denies_a_zone_hit_was_not_cut if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/resource/items/1/zone_hits_cut", "value": false}])
	missing := release.missing with input as question
	missing == {"restricted_zones"}
}

test_denies_a_military_site_in_view if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/resource/items/0/tags", "value": ["FACE", "PLATE", "MIL"]}])
	missing := release.missing with input as question
	missing == {"restricted_zones"}
}

test_denies_a_defence_works_on_a_track if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/resource/items/1/tags", "value": ["DEF_IND"]}])
	missing := release.missing with input as question
	missing == {"restricted_zones"}
}

test_denies_without_context_profile_jurisdiction if {
	question := json.patch(examples.release.local, [{"op": "remove", "path": "/context/profile/jurisdiction"}])
	missing := release.missing with input as question
	"restricted_zones" in missing
}

test_denies_without_resource_items if {
	question := json.patch(examples.release.local, [{"op": "remove", "path": "/resource/items"}])
	missing := release.missing with input as question
	"restricted_zones" in missing
}
