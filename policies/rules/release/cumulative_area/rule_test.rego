package fleetgate_test.release.cumulative_area

import data.examples.release as base
import data.fleetgate.release

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "cumulative_area" in release.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes local": {"passes": true, "question": base.local},
	"passes offset": {"passes": true, "question": base.offset},
	"passes approved": {"passes": true, "question": base.approved},
	"passes public": {"passes": true, "question": base.public},
	"passes eu": {"passes": true, "question": base.eu},
	"passes: just below the limit": {"passes": true, "question": json.patch(base.local, [{"op": "replace", "path": "/context/cumulative/area_km2", "value": 24.9999}])},
	"passes: EU law knows no such limit": {"passes": true, "question": json.patch(base.eu, [{"op": "replace", "path": "/context/cumulative/area_km2", "value": 2500}])},
	"denies: the limit itself": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/context/cumulative/area_km2", "value": 25}])},
	"denies: an offset release, too": {"passes": false, "question": json.patch(base.offset, [{"op": "replace", "path": "/context/cumulative/area_km2", "value": 31.5}])},
	"denies: an area that is none": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/context/cumulative/area_km2", "value": -1}])},
	"denies without the area": {"passes": false, "question": json.patch(base.local, [{"op": "remove", "path": "/context/cumulative/area_km2"}])},
	"denies without context.profile.jurisdiction": {"passes": false, "question": json.patch(base.local, [{"op": "remove", "path": "/context/profile/jurisdiction"}])},
}
