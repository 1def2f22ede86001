package fleetgate_test.release.no_cabin

import data.examples
import data.fleetgate.release

test_passes_local if "no_cabin" in release.passed with input as examples.release.local

test_passes_offset if "no_cabin" in release.passed with input as examples.release.offset

test_passes_approved if "no_cabin" in release.passed with input as examples.release.approved

test_passes_public if "no_cabin" in release.passed with input as examples.release.public

test_passes_eu if "no_cabin" in release.passed with input as examples.release.eu

test_denies_audio if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/resource/items/0/class", "value": "AUDIO"}])
	missing := release.missing with input as question
	missing == {"no_cabin"}
}

test_denies_without_resource_items if {
	question := json.patch(examples.release.local, [{"op": "remove", "path": "/resource/items"}])
	missing := release.missing with input as question
	"no_cabin" in missing
}
