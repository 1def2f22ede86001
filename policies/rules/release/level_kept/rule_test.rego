package fleetgate_test.release.level_kept

import data.examples
import data.fleetgate.release

test_passes_local if "level_kept" in release.passed with input as examples.release.local

test_passes_offset if "level_kept" in release.passed with input as examples.release.offset

test_passes_approved if "level_kept" in release.passed with input as examples.release.approved

test_passes_public if "level_kept" in release.passed with input as examples.release.public

test_passes_eu if "level_kept" in release.passed with input as examples.release.eu

test_denies_approved_mode_without_the_processor_s_identifier if {
	question := json.patch(examples.release.approved, [{"op": "replace", "path": "/resource/secrecy_tech_id", "value": null}])
	missing := release.missing with input as question
	missing == {"absolute_position", "level_kept"}
}

test_denies_a_local_frame_does_not_lower_geographic_information if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/resource/items/1/level_out", "value": "S1_PROCESSED"}])
	missing := release.missing with input as question
	missing == {"level_kept"}
}

test_denies_an_offset_does_not_lower_geographic_information if {
	question := json.patch(examples.release.offset, [{"op": "replace", "path": "/resource/items/1/level_out", "value": "S2_SENSITIVE_PI"}])
	missing := release.missing with input as question
	missing == {"level_kept"}
}

test_denies_gcj_02_lowers_nothing if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/resource/items/0/crs", "value": "GCJ-02"}, {"op": "replace", "path": "/resource/items/0/zone_check", "value": "tested"}, {"op": "replace", "path": "/resource/items/0/position_handling", "value": "none"}])
	missing := release.missing with input as question
	missing == {"level_kept"}
}

test_denies_no_treatment_lowers_nothing if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/resource/items/0/treatments", "value": []}, {"op": "replace", "path": "/resource/items/0/tags", "value": []}, {"op": "replace", "path": "/resource/items/0/findings", "value": {"face": 0, "plate": 0}}])
	missing := release.missing with input as question
	missing == {"level_kept"}
}

test_denies_the_processor_did_not_handle_this_item if {
	question := json.patch(examples.release.approved, [{"op": "replace", "path": "/resource/items/1/position_handling", "value": "stripped"}])
	missing := release.missing with input as question
	missing == {"level_kept"}
}

test_denies_a_raw_position_lowers_nothing if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/resource/items/0/position_handling", "value": "raw"}])
	missing := release.missing with input as question
	missing == {"level_kept", "one_position_context"}
}

test_denies_without_resource_items if {
	question := json.patch(examples.release.local, [{"op": "remove", "path": "/resource/items"}])
	missing := release.missing with input as question
	"level_kept" in missing
}

test_denies_without_resource_mode if {
	question := json.patch(examples.release.approved, [{"op": "remove", "path": "/resource/mode"}])
	missing := release.missing with input as question
	"level_kept" in missing
}

test_denies_without_resource_secrecy_tech_id if {
	question := json.patch(examples.release.approved, [{"op": "remove", "path": "/resource/secrecy_tech_id"}])
	missing := release.missing with input as question
	"level_kept" in missing
}
