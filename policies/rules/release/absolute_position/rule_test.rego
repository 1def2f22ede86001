package fleetgate_test.release.absolute_position

import data.examples
import data.fleetgate.release

test_passes_local if "absolute_position" in release.passed with input as examples.release.local

test_passes_offset if "absolute_position" in release.passed with input as examples.release.offset

test_passes_approved if "absolute_position" in release.passed with input as examples.release.approved

test_passes_public if "absolute_position" in release.passed with input as examples.release.public

test_passes_eu if "absolute_position" in release.passed with input as examples.release.eu

test_denies_offset_without_its_measures if {
	question := json.patch(examples.release.offset, [{"op": "replace", "path": "/resource/offset", "value": null}])
	missing := release.missing with input as question
	missing == {"absolute_position"}
}

test_denies_offset_too_small if {
	question := json.patch(examples.release.offset, [{"op": "replace", "path": "/resource/offset/min_shift_m", "value": 49.9}])
	missing := release.missing with input as question
	missing == {"absolute_position"}
}

test_denies_offset_distorts if {
	question := json.patch(examples.release.offset, [{"op": "replace", "path": "/resource/offset/max_distance_error", "value": 0.0071}])
	missing := release.missing with input as question
	missing == {"absolute_position"}
}

test_denies_approved_mode_without_the_processor_s_identifier if {
	question := json.patch(examples.release.approved, [{"op": "replace", "path": "/resource/secrecy_tech_id", "value": null}])
	missing := release.missing with input as question
	missing == {"absolute_position", "level_kept"}
}

test_denies_without_resource_mode if {
	question := json.patch(examples.release.local, [{"op": "remove", "path": "/resource/mode"}])
	missing := release.missing with input as question
	"absolute_position" in missing
}

test_denies_without_resource_offset_max_distance_error if {
	question := json.patch(examples.release.offset, [{"op": "remove", "path": "/resource/offset/max_distance_error"}])
	missing := release.missing with input as question
	"absolute_position" in missing
}

test_denies_without_resource_offset_min_shift_m if {
	question := json.patch(examples.release.offset, [{"op": "remove", "path": "/resource/offset/min_shift_m"}])
	missing := release.missing with input as question
	"absolute_position" in missing
}

test_denies_without_resource_secrecy_tech_id if {
	question := json.patch(examples.release.approved, [{"op": "remove", "path": "/resource/secrecy_tech_id"}])
	missing := release.missing with input as question
	"absolute_position" in missing
}
