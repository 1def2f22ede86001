package fleetgate_test.release.evidence_verified

import data.examples
import data.fleetgate.release

test_passes_local if "evidence_verified" in release.passed with input as examples.release.local

test_passes_offset if "evidence_verified" in release.passed with input as examples.release.offset

test_passes_approved if "evidence_verified" in release.passed with input as examples.release.approved

test_passes_public if "evidence_verified" in release.passed with input as examples.release.public

test_passes_eu if "evidence_verified" in release.passed with input as examples.release.eu

test_denies_evidence_does_not_verify if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/resource/items/1/evidence_verified", "value": false}])
	missing := release.missing with input as question
	missing == {"evidence_verified"}
}

test_denies_item_is_held if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/resource/items/1/held", "value": true}])
	missing := release.missing with input as question
	missing == {"evidence_verified"}
}

test_denies_treated_under_another_profile if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/resource/items/1/profile_digest", "value": "0000000000000000000000000000000000000000000000000000000000000000"}])
	missing := release.missing with input as question
	missing == {"evidence_verified"}
}

test_denies_without_context_profile_digest if {
	question := json.patch(examples.release.local, [{"op": "remove", "path": "/context/profile/digest"}])
	missing := release.missing with input as question
	"evidence_verified" in missing
}

test_denies_without_resource_items if {
	question := json.patch(examples.release.local, [{"op": "remove", "path": "/resource/items"}])
	missing := release.missing with input as question
	"evidence_verified" in missing
}
