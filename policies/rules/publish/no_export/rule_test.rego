package fleetgate_test.publish.no_export

import data.examples.publish as base
import data.fleetgate.publish

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "no_export" in publish.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes two_operators": {"passes": true, "question": base.two_operators},
	"passes one_operator": {"passes": true, "question": base.one_operator},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: foreign publisher": {"passes": false, "question": json.patch(base.two_operators, [{"op": "replace", "path": "/subject/nationality", "value": "US"}])},
	"denies: foreign entity": {"passes": false, "question": json.patch(base.two_operators, [{"op": "replace", "path": "/subject/entity_country", "value": "US"}])},
	"denies: EU profile refuses a third country": {"passes": false, "question": json.patch(base.eu, [{"op": "replace", "path": "/subject/entity_country", "value": "US"}])},
	"denies without subject.entity_country": {"passes": false, "question": json.patch(base.two_operators, [{"op": "remove", "path": "/subject/entity_country"}])},
	"denies without subject.nationality": {"passes": false, "question": json.patch(base.two_operators, [{"op": "remove", "path": "/subject/nationality"}])},
}
