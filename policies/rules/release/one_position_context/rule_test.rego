package fleetgate_test.release.one_position_context

import data.examples
import data.fleetgate.release

test_passes_local if "one_position_context" in release.passed with input as examples.release.local

test_passes_offset if "one_position_context" in release.passed with input as examples.release.offset

test_passes_approved if "one_position_context" in release.passed with input as examples.release.approved

test_passes_public if "one_position_context" in release.passed with input as examples.release.public

test_passes_eu if "one_position_context" in release.passed with input as examples.release.eu

test_denies_a_raw_position if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/resource/items/1/position_handling", "value": "raw"}])
	missing := release.missing with input as question
	missing == {"one_position_context"}
}

test_denies_a_raw_position_lowers_nothing if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/resource/items/0/position_handling", "value": "raw"}])
	missing := release.missing with input as question
	missing == {"level_kept", "one_position_context"}
}

test_denies_two_offset_contexts if {
	question := json.patch(examples.release.offset, [{"op": "replace", "path": "/resource/items/1/position_handling", "value": "local"}])
	missing := release.missing with input as question
	missing == {"one_position_context"}
}

test_denies_without_resource_items if {
	question := json.patch(examples.release.local, [{"op": "remove", "path": "/resource/items"}])
	missing := release.missing with input as question
	"one_position_context" in missing
}

test_denies_without_resource_mode if {
	question := json.patch(examples.release.local, [{"op": "remove", "path": "/resource/mode"}])
	missing := release.missing with input as question
	"one_position_context" in missing
}
