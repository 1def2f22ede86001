package fleetgate_test.release.residual_clean

import data.examples
import data.fleetgate.release

test_passes_local if "residual_clean" in release.passed with input as examples.release.local

test_passes_offset if "residual_clean" in release.passed with input as examples.release.offset

test_passes_approved if "residual_clean" in release.passed with input as examples.release.approved

test_passes_public if "residual_clean" in release.passed with input as examples.release.public

test_passes_eu if "residual_clean" in release.passed with input as examples.release.eu

test_denies_no_residual_scan if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/resource/items/0/residual_scanned", "value": false}])
	missing := release.missing with input as question
	missing == {"residual_clean"}
}

test_denies_residual_hit if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/resource/items/0/residual_hits", "value": 1}])
	missing := release.missing with input as question
	missing == {"residual_clean"}
}

test_denies_without_resource_items if {
	question := json.patch(examples.release.local, [{"op": "remove", "path": "/resource/items"}])
	missing := release.missing with input as question
	"residual_clean" in missing
}
