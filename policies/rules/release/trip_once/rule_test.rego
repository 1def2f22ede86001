package fleetgate_test.release.trip_once

import data.examples.release as base
import data.fleetgate.release

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "trip_once" in release.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes local": {"passes": true, "question": base.local},
	"passes offset": {"passes": true, "question": base.offset},
	"passes approved": {"passes": true, "question": base.approved},
	"passes public": {"passes": true, "question": base.public},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: the trip is out already": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/resource/recordings/1/prior_live_releases", "value": 1}])},
	"denies: one recording twice": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/resource/recordings/1/id", "value": "rec-1"}])},
	"denies without resource.recordings": {"passes": false, "question": json.patch(base.local, [{"op": "remove", "path": "/resource/recordings"}])},
}
