package fleetgate_test.intake.domestic_subject

import data.examples.intake as base
import data.fleetgate.intake

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "domestic_subject" in intake.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes vehicle": {"passes": true, "question": base.vehicle},
	"passes carrier": {"passes": true, "question": base.carrier},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: foreign deliverer": {"passes": false, "question": json.patch(base.carrier, [{"op": "replace", "path": "/subject/nationality", "value": "US"}])},
	"denies: deliverer from Hong Kong is across the customs border": {"passes": false, "question": json.patch(base.carrier, [{"op": "replace", "path": "/subject/nationality", "value": "HK"}])},
	"denies: EU profile refuses a third country": {"passes": false, "question": json.patch(base.eu, [{"op": "replace", "path": "/subject/nationality", "value": "US"}])},
	"denies: a clock before all law": {"passes": false, "question": json.patch(base.carrier, [{"op": "replace", "path": "/context/time", "value": "2015-01-01T00:00:00Z"}])},
	"denies without subject.nationality": {"passes": false, "question": json.patch(base.vehicle, [{"op": "remove", "path": "/subject/nationality"}])},
}
