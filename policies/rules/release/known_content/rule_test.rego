package fleetgate_test.release.known_content

import data.examples
import data.fleetgate.release

test_passes_local if "known_content" in release.passed with input as examples.release.local

test_passes_offset if "known_content" in release.passed with input as examples.release.offset

test_passes_approved if "known_content" in release.passed with input as examples.release.approved

test_passes_public if "known_content" in release.passed with input as examples.release.public

test_passes_eu if "known_content" in release.passed with input as examples.release.eu

test_denies_unknown_class if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/resource/items/0/class", "value": "RADAR_CUBE"}])
	missing := release.missing with input as question
	missing == {"known_content"}
}

test_denies_unknown_level if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/resource/items/0/level_in", "value": "SX_UNKNOWN"}, {"op": "replace", "path": "/resource/items/0/level_out", "value": "SX_UNKNOWN"}])
	missing := release.missing with input as question
	missing == {"known_content", "no_state_secret"}
}

test_denies_unknown_source_level_though_processed if {
	question := json.patch(examples.release.approved, [{"op": "replace", "path": "/resource/items/1/level_in", "value": "SX_UNKNOWN"}])
	missing := release.missing with input as question
	missing == {"known_content"}
}

test_denies_unknown_coordinate_system if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/resource/items/1/crs", "value": "BEIJING54"}])
	missing := release.missing with input as question
	missing == {"known_content"}
}

test_denies_unknown_tag if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/resource/items/1/tags", "value": ["TRACK", "DRAGON"]}])
	missing := release.missing with input as question
	missing == {"known_content"}
}

test_denies_without_resource_items if {
	question := json.patch(examples.release.local, [{"op": "remove", "path": "/resource/items"}])
	missing := release.missing with input as question
	"known_content" in missing
}
