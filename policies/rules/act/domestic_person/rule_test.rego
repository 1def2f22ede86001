package fleetgate_test.act.domestic_person

import data.examples.act as base
import data.fleetgate.act

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "domestic_person" in act.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes read": {"passes": true, "question": base.read},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: a foreigner": {"passes": false, "question": json.patch(base.approve, [{"op": "replace", "path": "/subject/nationality", "value": "US"}])},
	"denies: a foreign entity": {"passes": false, "question": json.patch(base.approve, [{"op": "replace", "path": "/subject/entity_country", "value": "US"}])},
	"denies: a session from abroad": {"passes": false, "question": json.patch(base.approve, [{"op": "replace", "path": "/context/country_of_session", "value": "SG"}])},
	"denies: without a nationality": {"passes": false, "question": json.patch(base.approve, [{"op": "remove", "path": "/subject/nationality"}])},
}
