package fleetgate_test.serve.reader_role

import data.examples
import data.fleetgate.serve

test_passes_engineer if "reader_role" in serve.passed with input as examples.serve.engineer

test_passes_eu if "reader_role" in serve.passed with input as examples.serve.eu

test_denies_an_annotator_downloads if {
	question := json.patch(examples.serve.engineer, [{"op": "replace", "path": "/subject/roles", "value": ["annotator"]}])
	missing := serve.missing with input as question
	missing == {"reader_role"}
}

test_denies_a_reader_without_a_role if {
	question := json.patch(examples.serve.engineer, [{"op": "replace", "path": "/subject/roles", "value": []}])
	missing := serve.missing with input as question
	missing == {"reader_role"}
}

test_denies_without_subject_roles if {
	question := json.patch(examples.serve.engineer, [{"op": "remove", "path": "/subject/roles"}])
	missing := serve.missing with input as question
	"reader_role" in missing
}
