package fleetgate_test.release.sensitive_sites

import data.examples
import data.fleetgate.release

test_passes_local if "sensitive_sites" in release.passed with input as examples.release.local

test_passes_offset if "sensitive_sites" in release.passed with input as examples.release.offset

test_passes_approved if "sensitive_sites" in release.passed with input as examples.release.approved

test_passes_public if "sensitive_sites" in release.passed with input as examples.release.public

test_passes_eu if "sensitive_sites" in release.passed with input as examples.release.eu

test_denies_an_energy_site_keeps_its_attributes if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/resource/items/0/tags", "value": ["FACE", "PLATE", "ENERGY"]}])
	missing := release.missing with input as question
	missing == {"sensitive_sites"}
}

test_denies_a_water_site_is_not_masked if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/resource/items/1/tags", "value": ["WATER"]}, {"op": "replace", "path": "/resource/items/1/sign_attributes_nulled", "value": true}])
	missing := release.missing with input as question
	missing == {"sensitive_sites"}
}

test_denies_without_context_profile_jurisdiction if {
	question := json.patch(examples.release.local, [{"op": "remove", "path": "/context/profile/jurisdiction"}])
	missing := release.missing with input as question
	"sensitive_sites" in missing
}

test_denies_without_resource_items if {
	question := json.patch(examples.release.local, [{"op": "remove", "path": "/resource/items"}])
	missing := release.missing with input as question
	"sensitive_sites" in missing
}
