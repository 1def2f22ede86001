package fleetgate_test.release.no_state_secret

import data.examples
import data.fleetgate.release

test_passes_local if "no_state_secret" in release.passed with input as examples.release.local

test_passes_offset if "no_state_secret" in release.passed with input as examples.release.offset

test_passes_approved if "no_state_secret" in release.passed with input as examples.release.approved

test_passes_public if "no_state_secret" in release.passed with input as examples.release.public

test_passes_eu if "no_state_secret" in release.passed with input as examples.release.eu

test_denies_unknown_level if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/resource/items/0/level_in", "value": "SX_UNKNOWN"}, {"op": "replace", "path": "/resource/items/0/level_out", "value": "SX_UNKNOWN"}])
	missing := release.missing with input as question
	missing == {"known_content", "no_state_secret"}
}

test_denies_state_secret if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/resource/items/1/level_in", "value": "S4_STATE_SECRET"}, {"op": "replace", "path": "/resource/items/1/level_out", "value": "S4_STATE_SECRET"}])
	missing := release.missing with input as question
	missing == {"no_state_secret"}
}

test_denies_without_resource_items if {
	question := json.patch(examples.release.local, [{"op": "remove", "path": "/resource/items"}])
	missing := release.missing with input as question
	"no_state_secret" in missing
}
