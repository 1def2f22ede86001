package fleetgate_test.release.purpose_assessed

import data.examples.release as base
import data.fleetgate.release

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "purpose_assessed" in release.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes local": {"passes": true, "question": base.local},
	"passes offset": {"passes": true, "question": base.offset},
	"passes approved": {"passes": true, "question": base.approved},
	"passes public": {"passes": true, "question": base.public},
	"passes eu": {"passes": true, "question": base.eu},
	"passes: processed data takes no assessment of provision": {"passes": true, "question": json.patch(base.approved, [{"op": "replace", "path": "/context/assessments/1/kind", "value": "dpia"}])},
	"denies: nothing was assessed": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/context/assessments", "value": []}])},
	"denies: no assessment of provision": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/context/assessments/1/kind", "value": "dpia"}])},
	"denies: assessment has ended": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/context/assessments/0/valid_until", "value": "2026-05-02T10:00:00Z"}])},
	"denies: another class": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/context/assessments/0/classes", "value": ["EXT_IMAGE"]}])},
	"denies: another level": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/context/assessments/0/levels", "value": ["S2_PI"]}])},
	"denies: EU without an impact assessment": {"passes": false, "question": json.patch(base.eu, [{"op": "replace", "path": "/context/assessments/0/kind", "value": "pia"}])},
	"denies without context.assessments": {"passes": false, "question": json.patch(base.local, [{"op": "remove", "path": "/context/assessments"}])},
	"denies without context.profile.jurisdiction": {"passes": false, "question": json.patch(base.local, [{"op": "remove", "path": "/context/profile/jurisdiction"}])},
	"denies without context.time": {"passes": false, "question": json.patch(base.local, [{"op": "remove", "path": "/context/time"}])},
	"denies without resource.items": {"passes": false, "question": json.patch(base.local, [{"op": "remove", "path": "/resource/items"}])},
}
