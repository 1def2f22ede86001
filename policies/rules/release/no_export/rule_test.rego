package fleetgate_test.release.no_export

import data.examples.release as base
import data.fleetgate.release

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "no_export" in release.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes local": {"passes": true, "question": base.local},
	"passes offset": {"passes": true, "question": base.offset},
	"passes approved": {"passes": true, "question": base.approved},
	"passes public": {"passes": true, "question": base.public},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: foreign submitter": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/subject/nationality", "value": "US"}])},
	"denies: foreign entity": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/subject/entity_country", "value": "DE"}])},
	"denies: foreign recipient": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/context/recipient/country", "value": "US"}])},
	"denies: foreign destination": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/context/destination_zone", "value": "foreign"}])},
	"denies: EU profile refuses a third country": {"passes": false, "question": json.patch(base.eu, [{"op": "replace", "path": "/context/recipient/country", "value": "US"}])},
	"denies without context.destination_zone": {"passes": false, "question": json.patch(base.local, [{"op": "remove", "path": "/context/destination_zone"}])},
	"denies without context.recipient.country": {"passes": false, "question": json.patch(base.local, [{"op": "remove", "path": "/context/recipient/country"}])},
	"denies without subject.entity_country": {"passes": false, "question": json.patch(base.local, [{"op": "remove", "path": "/subject/entity_country"}])},
	"denies without subject.nationality": {"passes": false, "question": json.patch(base.local, [{"op": "remove", "path": "/subject/nationality"}])},
}
