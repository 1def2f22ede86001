package fleetgate_test.release.release_not_empty

import data.examples
import data.fleetgate.release

test_passes_local if "release_not_empty" in release.passed with input as examples.release.local

test_passes_offset if "release_not_empty" in release.passed with input as examples.release.offset

test_passes_approved if "release_not_empty" in release.passed with input as examples.release.approved

test_passes_public if "release_not_empty" in release.passed with input as examples.release.public

test_passes_eu if "release_not_empty" in release.passed with input as examples.release.eu

test_denies_no_items if {
	question := json.patch(examples.release.approved, [{"op": "replace", "path": "/resource/items", "value": []}])
	missing := release.missing with input as question
	missing == {"release_not_empty"}
}

test_denies_no_recordings if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/resource/recordings", "value": []}])
	missing := release.missing with input as question
	missing == {"release_not_empty"}
}

test_denies_one_item_twice if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/resource/items/1/id", "value": "image-1"}])
	missing := release.missing with input as question
	missing == {"release_not_empty"}
}

test_denies_without_resource_items if {
	question := json.patch(examples.release.local, [{"op": "remove", "path": "/resource/items"}])
	missing := release.missing with input as question
	"release_not_empty" in missing
}

test_denies_without_resource_recordings if {
	question := json.patch(examples.release.local, [{"op": "remove", "path": "/resource/recordings"}])
	missing := release.missing with input as question
	"release_not_empty" in missing
}
