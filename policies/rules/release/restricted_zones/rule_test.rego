package fleetgate_test.release.restricted_zones

import data.examples.release as base
import data.fleetgate.release

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "restricted_zones" in release.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes local": {"passes": true, "question": base.local},
	"passes offset": {"passes": true, "question": base.offset},
	"passes approved": {"passes": true, "question": base.approved},
	"passes public": {"passes": true, "question": base.public},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: zones were not checked": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/resource/items/0/zone_check", "value": "none"}])},
	"denies: an absolute position needs a test and not a word": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/resource/items/1/zone_check", "value": "attested"}])},
	"denies: a zone hit was not cut": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/resource/items/1/zone_hits_cut", "value": false}])},
	"denies: a military site in view": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/resource/items/0/tags", "value": ["FACE", "PLATE", "MIL"]}])},
	"denies: a defence works on a track": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/resource/items/1/tags", "value": ["DEF_IND"]}])},
	"denies without context.profile.jurisdiction": {"passes": false, "question": json.patch(base.local, [{"op": "remove", "path": "/context/profile/jurisdiction"}])},
	"denies without resource.items": {"passes": false, "question": json.patch(base.local, [{"op": "remove", "path": "/resource/items"}])},
}
