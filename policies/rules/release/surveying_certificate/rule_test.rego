package fleetgate_test.release.surveying_certificate

import data.examples
import data.fleetgate.release

test_passes_local if "surveying_certificate" in release.passed with input as examples.release.local

test_passes_offset if "surveying_certificate" in release.passed with input as examples.release.offset

test_passes_approved if "surveying_certificate" in release.passed with input as examples.release.approved

test_passes_public if "surveying_certificate" in release.passed with input as examples.release.public

test_passes_eu if "surveying_certificate" in release.passed with input as examples.release.eu

test_denies_certificate_has_expired if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/context/certificate/valid_to", "value": "2026-05-01T00:00:00Z"}])
	missing := release.missing with input as question
	missing == {"surveying_certificate"}
}

test_denies_one_recording_outside_the_certificate_s_regions if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/resource/recordings/1/region", "value": "310115"}])
	missing := release.missing with input as question
	missing == {"surveying_certificate"}
}

test_denies_no_certificate if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/context/certificate", "value": null}])
	missing := release.missing with input as question
	missing == {"surveying_certificate"}
}

test_denies_without_context_certificate if {
	question := json.patch(examples.release.local, [{"op": "remove", "path": "/context/certificate"}])
	missing := release.missing with input as question
	"surveying_certificate" in missing
}

test_denies_without_context_profile_jurisdiction if {
	question := json.patch(examples.release.local, [{"op": "remove", "path": "/context/profile/jurisdiction"}])
	missing := release.missing with input as question
	"surveying_certificate" in missing
}

test_denies_without_resource_recordings if {
	question := json.patch(examples.release.local, [{"op": "remove", "path": "/resource/recordings"}])
	missing := release.missing with input as question
	"surveying_certificate" in missing
}
