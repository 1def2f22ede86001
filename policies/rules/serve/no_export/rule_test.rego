package fleetgate_test.serve.no_export

import data.examples
import data.fleetgate.serve

test_passes_engineer if "no_export" in serve.passed with input as examples.serve.engineer

test_passes_eu if "no_export" in serve.passed with input as examples.serve.eu

test_denies_foreign_reader if {
	question := json.patch(examples.serve.engineer, [{"op": "replace", "path": "/subject/nationality", "value": "US"}])
	missing := serve.missing with input as question
	missing == {"no_export"}
}

test_denies_session_from_abroad if {
	question := json.patch(examples.serve.engineer, [{"op": "replace", "path": "/subject/country_of_session", "value": "SG"}])
	missing := serve.missing with input as question
	missing == {"no_export"}
}

test_denies_public_network if {
	question := json.patch(examples.serve.engineer, [{"op": "replace", "path": "/context/network_zone", "value": "public"}])
	missing := serve.missing with input as question
	missing == {"no_export"}
}

test_denies_foreign_network if {
	question := json.patch(examples.serve.engineer, [{"op": "replace", "path": "/context/network_zone", "value": "foreign"}])
	missing := serve.missing with input as question
	missing == {"no_export"}
}

test_denies_eu_profile_refuses_a_session_from_a_third_country if {
	question := json.patch(examples.serve.eu, [{"op": "replace", "path": "/subject/country_of_session", "value": "CN"}])
	missing := serve.missing with input as question
	missing == {"no_export"}
}

test_denies_without_context_network_zone if {
	question := json.patch(examples.serve.engineer, [{"op": "remove", "path": "/context/network_zone"}])
	missing := serve.missing with input as question
	"no_export" in missing
}

test_denies_without_subject_country_of_session if {
	question := json.patch(examples.serve.engineer, [{"op": "remove", "path": "/subject/country_of_session"}])
	missing := serve.missing with input as question
	"no_export" in missing
}

test_denies_without_subject_nationality if {
	question := json.patch(examples.serve.engineer, [{"op": "remove", "path": "/subject/nationality"}])
	missing := serve.missing with input as question
	"no_export" in missing
}
