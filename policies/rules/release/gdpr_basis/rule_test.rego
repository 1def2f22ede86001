package fleetgate_test.release.gdpr_basis

import data.examples
import data.fleetgate.release

test_passes_local if "gdpr_basis" in release.passed with input as examples.release.local

test_passes_offset if "gdpr_basis" in release.passed with input as examples.release.offset

test_passes_approved if "gdpr_basis" in release.passed with input as examples.release.approved

test_passes_public if "gdpr_basis" in release.passed with input as examples.release.public

test_passes_eu if "gdpr_basis" in release.passed with input as examples.release.eu

test_denies_eu_profile_without_an_impact_assessment if {
	question := json.patch(examples.release.eu, [{"op": "replace", "path": "/context/dpia_reference", "value": null}])
	missing := release.missing with input as question
	missing == {"gdpr_basis"}
}

test_denies_eu_profile_with_an_offset if {
	question := json.patch(examples.release.eu, [{"op": "replace", "path": "/resource/mode", "value": "OFFSET"}, {"op": "replace", "path": "/resource/offset", "value": {"max_distance_error": 0.0061, "min_shift_m": 251.5}}, {"op": "replace", "path": "/resource/items/1/position_handling", "value": "offset"}])
	missing := release.missing with input as question
	missing == {"gdpr_basis"}
}

test_denies_eu_profile_with_offset_measures_in_local_mode if {
	question := json.patch(examples.release.eu, [{"op": "replace", "path": "/resource/offset", "value": {"max_distance_error": 0.0061, "min_shift_m": 251.5}}])
	missing := release.missing with input as question
	missing == {"gdpr_basis"}
}

test_denies_without_context_dpia_reference if {
	question := json.patch(examples.release.eu, [{"op": "remove", "path": "/context/dpia_reference"}])
	missing := release.missing with input as question
	"gdpr_basis" in missing
}

test_denies_without_context_profile_jurisdiction if {
	question := json.patch(examples.release.local, [{"op": "remove", "path": "/context/profile/jurisdiction"}])
	missing := release.missing with input as question
	"gdpr_basis" in missing
}

test_denies_without_context_purpose if {
	question := json.patch(examples.release.eu, [{"op": "remove", "path": "/context/purpose"}])
	missing := release.missing with input as question
	"gdpr_basis" in missing
}

test_denies_without_resource_mode if {
	question := json.patch(examples.release.eu, [{"op": "remove", "path": "/resource/mode"}])
	missing := release.missing with input as question
	"gdpr_basis" in missing
}

test_denies_without_resource_offset if {
	question := json.patch(examples.release.eu, [{"op": "remove", "path": "/resource/offset"}])
	missing := release.missing with input as question
	"gdpr_basis" in missing
}
