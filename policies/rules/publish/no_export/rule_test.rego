package fleetgate_test.publish.no_export

import data.examples
import data.fleetgate.publish

test_passes_two_operators if "no_export" in publish.passed with input as examples.publish.two_operators

test_passes_one_operator if "no_export" in publish.passed with input as examples.publish.one_operator

test_passes_eu if "no_export" in publish.passed with input as examples.publish.eu

test_denies_foreign_publisher if {
	question := json.patch(examples.publish.two_operators, [{"op": "replace", "path": "/subject/nationality", "value": "US"}])
	missing := publish.missing with input as question
	missing == {"no_export"}
}

test_denies_foreign_entity if {
	question := json.patch(examples.publish.two_operators, [{"op": "replace", "path": "/subject/entity_country", "value": "US"}])
	missing := publish.missing with input as question
	missing == {"no_export"}
}

test_denies_eu_profile_refuses_a_third_country if {
	question := json.patch(examples.publish.eu, [{"op": "replace", "path": "/subject/entity_country", "value": "US"}])
	missing := publish.missing with input as question
	missing == {"no_export"}
}

test_denies_without_subject_entity_country if {
	question := json.patch(examples.publish.two_operators, [{"op": "remove", "path": "/subject/entity_country"}])
	missing := publish.missing with input as question
	"no_export" in missing
}

test_denies_without_subject_nationality if {
	question := json.patch(examples.publish.two_operators, [{"op": "remove", "path": "/subject/nationality"}])
	missing := publish.missing with input as question
	"no_export" in missing
}
