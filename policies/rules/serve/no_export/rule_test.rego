package fleetgate_test.serve.no_export

import data.examples.serve as base
import data.fleetgate.serve

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "no_export" in serve.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes engineer": {"passes": true, "question": base.engineer},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: foreign reader": {"passes": false, "question": json.patch(base.engineer, [{"op": "replace", "path": "/subject/nationality", "value": "US"}])},
	"denies: session from abroad": {"passes": false, "question": json.patch(base.engineer, [{"op": "replace", "path": "/subject/country_of_session", "value": "SG"}])},
	"denies: public network": {"passes": false, "question": json.patch(base.engineer, [{"op": "replace", "path": "/context/network_zone", "value": "public"}])},
	"denies: foreign network": {"passes": false, "question": json.patch(base.engineer, [{"op": "replace", "path": "/context/network_zone", "value": "foreign"}])},
	"denies: EU profile refuses a session from a third country": {"passes": false, "question": json.patch(base.eu, [{"op": "replace", "path": "/subject/country_of_session", "value": "CN"}])},
	"denies without context.network_zone": {"passes": false, "question": json.patch(base.engineer, [{"op": "remove", "path": "/context/network_zone"}])},
	"denies without subject.country_of_session": {"passes": false, "question": json.patch(base.engineer, [{"op": "remove", "path": "/subject/country_of_session"}])},
	"denies without subject.nationality": {"passes": false, "question": json.patch(base.engineer, [{"op": "remove", "path": "/subject/nationality"}])},
}
