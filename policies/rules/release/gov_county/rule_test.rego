package fleetgate_test.release.gov_county

import data.examples.release as base
import data.fleetgate.release

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "gov_county" in release.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes local": {"passes": true, "question": base.local},
	"passes offset": {"passes": true, "question": base.offset},
	"passes approved": {"passes": true, "question": base.approved},
	"passes public": {"passes": true, "question": base.public},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: a track beside a county government": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/context/gov_county_hit", "value": true}])},
	"denies: a county government tag though the context denies a hit": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/resource/items/1/tags", "value": ["GOV_COUNTY"]}])},
	"denies: flow beside a county government": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/context/gov_county_hit", "value": true}, {"op": "replace", "path": "/resource/items/0/tags", "value": ["FACE", "PLATE", "FLOW"]}, {"op": "replace", "path": "/resource/items/1/class", "value": "LABEL"}, {"op": "replace", "path": "/resource/items/1/position_handling", "value": "stripped"}])},
	"denies: a positioned label beside a county government": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/context/gov_county_hit", "value": true}, {"op": "replace", "path": "/resource/items/1/class", "value": "LABEL"}])},
	"denies without context.gov_county_hit": {"passes": false, "question": json.patch(base.local, [{"op": "remove", "path": "/context/gov_county_hit"}])},
	"denies without context.profile.jurisdiction": {"passes": false, "question": json.patch(base.local, [{"op": "remove", "path": "/context/profile/jurisdiction"}])},
	"denies without resource.items": {"passes": false, "question": json.patch(base.local, [{"op": "remove", "path": "/resource/items"}])},
}
