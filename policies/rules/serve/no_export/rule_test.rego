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

cases["passes engineer"] := {
	"passes": true,
	"question": base.engineer,
}

cases["passes eu"] := {
	"passes": true,
	"question": base.eu,
}

cases["denies: foreign reader"] := {
	"passes": false,
	"question": json.patch(base.engineer, [{"op": "replace", "path": "/subject/nationality", "value": "US"}]),
}

cases["denies: session from abroad"] := {
	"passes": false,
	"question": json.patch(base.engineer, [{"op": "replace", "path": "/subject/country_of_session", "value": "SG"}]),
}

cases["denies: public network"] := {
	"passes": false,
	"question": json.patch(base.engineer, [{"op": "replace", "path": "/context/network_zone", "value": "public"}]),
}

cases["denies: foreign network"] := {
	"passes": false,
	"question": json.patch(base.engineer, [{"op": "replace", "path": "/context/network_zone", "value": "foreign"}]),
}

cases["denies: EU profile refuses a session from a third country"] := {
	"passes": false,
	"question": json.patch(base.eu, [{"op": "replace", "path": "/subject/country_of_session", "value": "CN"}]),
}

cases["denies without context.network_zone"] := {
	"passes": false,
	"question": json.patch(base.engineer, [{"op": "remove", "path": "/context/network_zone"}]),
}

cases["denies without subject.country_of_session"] := {
	"passes": false,
	"question": json.patch(base.engineer, [{"op": "remove", "path": "/subject/country_of_session"}]),
}

cases["denies without subject.nationality"] := {
	"passes": false,
	"question": json.patch(base.engineer, [{"op": "remove", "path": "/subject/nationality"}]),
}
