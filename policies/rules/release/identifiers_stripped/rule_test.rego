package fleetgate_test.release.identifiers_stripped

import data.examples
import data.fleetgate.release

test_passes_local if "identifiers_stripped" in release.passed with input as examples.release.local

test_passes_offset if "identifiers_stripped" in release.passed with input as examples.release.offset

test_passes_approved if "identifiers_stripped" in release.passed with input as examples.release.approved

test_passes_public if "identifiers_stripped" in release.passed with input as examples.release.public

test_passes_eu if "identifiers_stripped" in release.passed with input as examples.release.eu

test_denies_a_vin_is_left if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/resource/items/1/vin_found", "value": 1}])
	missing := release.missing with input as question
	missing == {"identifiers_stripped"}
}

test_denies_absolute_time_is_left if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/resource/items/1/absolute_time", "value": "raw"}])
	missing := release.missing with input as question
	missing == {"identifiers_stripped"}
}

test_denies_metadata_is_left if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/resource/items/0/metadata_stripped", "value": false}])
	missing := release.missing with input as question
	missing == {"identifiers_stripped"}
}

test_denies_without_resource_items if {
	question := json.patch(examples.release.local, [{"op": "remove", "path": "/resource/items"}])
	missing := release.missing with input as question
	"identifiers_stripped" in missing
}
