package fleetgate_test.release.evidence_verified

import data.examples.release as base
import data.fleetgate.release

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "evidence_verified" in release.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes local": {"passes": true, "question": base.local},
	"passes offset": {"passes": true, "question": base.offset},
	"passes approved": {"passes": true, "question": base.approved},
	"passes public": {"passes": true, "question": base.public},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: evidence does not verify": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/resource/items/1/evidence_verified", "value": false}])},
	"denies: item is held": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/resource/items/1/held", "value": true}])},
	"denies: treated under another profile": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/resource/items/1/profile_digest", "value": "0000000000000000000000000000000000000000000000000000000000000000"}])},
	"denies without context.profile.digest": {"passes": false, "question": json.patch(base.local, [{"op": "remove", "path": "/context/profile/digest"}])},
	"denies without resource.items": {"passes": false, "question": json.patch(base.local, [{"op": "remove", "path": "/resource/items"}])},
}
