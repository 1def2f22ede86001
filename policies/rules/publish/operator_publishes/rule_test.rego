package fleetgate_test.publish.operator_publishes

import data.examples
import data.fleetgate.publish

test_passes_two_operators if "operator_publishes" in publish.passed with input as examples.publish.two_operators

test_passes_one_operator if "operator_publishes" in publish.passed with input as examples.publish.one_operator

test_passes_eu if "operator_publishes" in publish.passed with input as examples.publish.eu

test_denies_an_administrator_publishes if {
	question := json.patch(examples.publish.two_operators, [{"op": "replace", "path": "/subject/roles", "value": ["administrator"]}])
	missing := publish.missing with input as question
	missing == {"operator_publishes"}
}

test_denies_without_subject_roles if {
	question := json.patch(examples.publish.two_operators, [{"op": "remove", "path": "/subject/roles"}])
	missing := publish.missing with input as question
	"operator_publishes" in missing
}
