package fleetgate_test.release.gov_county

import data.examples
import data.fleetgate.release

test_passes_local if "gov_county" in release.passed with input as examples.release.local

test_passes_offset if "gov_county" in release.passed with input as examples.release.offset

test_passes_approved if "gov_county" in release.passed with input as examples.release.approved

test_passes_public if "gov_county" in release.passed with input as examples.release.public

test_passes_eu if "gov_county" in release.passed with input as examples.release.eu

test_denies_a_track_beside_a_county_government if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/context/gov_county_hit", "value": true}])
	missing := release.missing with input as question
	missing == {"gov_county"}
}

test_denies_a_county_government_tag_though_the_context_denies_a_hit if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/resource/items/1/tags", "value": ["GOV_COUNTY"]}])
	missing := release.missing with input as question
	missing == {"gov_county"}
}

test_denies_flow_beside_a_county_government if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/context/gov_county_hit", "value": true}, {"op": "replace", "path": "/resource/items/0/tags", "value": ["FACE", "PLATE", "FLOW"]}, {"op": "replace", "path": "/resource/items/1/class", "value": "LABEL"}, {"op": "replace", "path": "/resource/items/1/position_handling", "value": "stripped"}])
	missing := release.missing with input as question
	missing == {"gov_county"}
}

test_denies_a_positioned_label_beside_a_county_government if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/context/gov_county_hit", "value": true}, {"op": "replace", "path": "/resource/items/1/class", "value": "LABEL"}])
	missing := release.missing with input as question
	missing == {"gov_county"}
}

test_denies_without_context_gov_county_hit if {
	question := json.patch(examples.release.local, [{"op": "remove", "path": "/context/gov_county_hit"}])
	missing := release.missing with input as question
	"gov_county" in missing
}

test_denies_without_context_profile_jurisdiction if {
	question := json.patch(examples.release.local, [{"op": "remove", "path": "/context/profile/jurisdiction"}])
	missing := release.missing with input as question
	"gov_county" in missing
}

test_denies_without_resource_items if {
	question := json.patch(examples.release.local, [{"op": "remove", "path": "/resource/items"}])
	missing := release.missing with input as question
	"gov_county" in missing
}
