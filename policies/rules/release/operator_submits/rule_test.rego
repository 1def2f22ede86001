package fleetgate_test.release.operator_submits

import data.examples
import data.fleetgate.release

test_passes_local if "operator_submits" in release.passed with input as examples.release.local

test_passes_offset if "operator_submits" in release.passed with input as examples.release.offset

test_passes_approved if "operator_submits" in release.passed with input as examples.release.approved

test_passes_public if "operator_submits" in release.passed with input as examples.release.public

test_passes_eu if "operator_submits" in release.passed with input as examples.release.eu

test_denies_an_engineer_submits if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/subject/roles", "value": ["engineer"]}])
	missing := release.missing with input as question
	missing == {"operator_submits"}
}

test_denies_without_subject_roles if {
	question := json.patch(examples.release.local, [{"op": "remove", "path": "/subject/roles"}])
	missing := release.missing with input as question
	"operator_submits" in missing
}
