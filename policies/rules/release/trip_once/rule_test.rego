package fleetgate_test.release.trip_once

import data.examples
import data.fleetgate.release

test_passes_local if "trip_once" in release.passed with input as examples.release.local

test_passes_offset if "trip_once" in release.passed with input as examples.release.offset

test_passes_approved if "trip_once" in release.passed with input as examples.release.approved

test_passes_public if "trip_once" in release.passed with input as examples.release.public

test_passes_eu if "trip_once" in release.passed with input as examples.release.eu

test_denies_the_trip_is_out_already if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/resource/recordings/1/prior_live_releases", "value": 1}])
	missing := release.missing with input as question
	missing == {"trip_once"}
}

test_denies_one_recording_twice if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/resource/recordings/1/id", "value": "rec-1"}])
	missing := release.missing with input as question
	missing == {"trip_once"}
}

test_denies_without_resource_recordings if {
	question := json.patch(examples.release.local, [{"op": "remove", "path": "/resource/recordings"}])
	missing := release.missing with input as question
	"trip_once" in missing
}
