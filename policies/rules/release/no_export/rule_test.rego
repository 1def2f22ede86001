package fleetgate_test.release.no_export

import data.examples
import data.fleetgate.release

test_passes_local if "no_export" in release.passed with input as examples.release.local

test_passes_offset if "no_export" in release.passed with input as examples.release.offset

test_passes_approved if "no_export" in release.passed with input as examples.release.approved

test_passes_public if "no_export" in release.passed with input as examples.release.public

test_passes_eu if "no_export" in release.passed with input as examples.release.eu

test_denies_foreign_submitter if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/subject/nationality", "value": "US"}])
	missing := release.missing with input as question
	missing == {"no_export"}
}

test_denies_foreign_entity if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/subject/entity_country", "value": "DE"}])
	missing := release.missing with input as question
	missing == {"no_export"}
}

test_denies_foreign_recipient if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/context/recipient/country", "value": "US"}])
	missing := release.missing with input as question
	missing == {"no_export"}
}

test_denies_foreign_destination if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/context/destination_zone", "value": "foreign"}])
	missing := release.missing with input as question
	missing == {"no_export"}
}

test_denies_eu_profile_refuses_a_third_country if {
	question := json.patch(examples.release.eu, [{"op": "replace", "path": "/context/recipient/country", "value": "US"}])
	missing := release.missing with input as question
	missing == {"no_export"}
}

test_denies_without_context_destination_zone if {
	question := json.patch(examples.release.local, [{"op": "remove", "path": "/context/destination_zone"}])
	missing := release.missing with input as question
	"no_export" in missing
}

test_denies_without_context_recipient_country if {
	question := json.patch(examples.release.local, [{"op": "remove", "path": "/context/recipient/country"}])
	missing := release.missing with input as question
	"no_export" in missing
}

test_denies_without_subject_entity_country if {
	question := json.patch(examples.release.local, [{"op": "remove", "path": "/subject/entity_country"}])
	missing := release.missing with input as question
	"no_export" in missing
}

test_denies_without_subject_nationality if {
	question := json.patch(examples.release.local, [{"op": "remove", "path": "/subject/nationality"}])
	missing := release.missing with input as question
	"no_export" in missing
}
