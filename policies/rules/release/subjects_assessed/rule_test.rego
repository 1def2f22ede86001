package fleetgate_test.release.subjects_assessed

import data.examples
import data.fleetgate.release

test_passes_local if "subjects_assessed" in release.passed with input as examples.release.local

test_passes_offset if "subjects_assessed" in release.passed with input as examples.release.offset

test_passes_approved if "subjects_assessed" in release.passed with input as examples.release.approved

test_passes_public if "subjects_assessed" in release.passed with input as examples.release.public

test_passes_eu if "subjects_assessed" in release.passed with input as examples.release.eu

test_denies_100_000_subjects_without_an_assessment if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/context/cumulative/subjects", "value": 99960}])
	missing := release.missing with input as question
	missing == {"subjects_assessed"}
}

test_denies_without_context_profile_jurisdiction if {
	question := json.patch(examples.release.local, [{"op": "remove", "path": "/context/profile/jurisdiction"}])
	missing := release.missing with input as question
	"subjects_assessed" in missing
}
