package fleetgate_test.serve.recipient_bound

import data.examples
import data.fleetgate.serve

test_passes_engineer if "recipient_bound" in serve.passed with input as examples.serve.engineer

test_passes_eu if "recipient_bound" in serve.passed with input as examples.serve.eu

test_denies_reader_of_another_recipient if {
	question := json.patch(examples.serve.engineer, [{"op": "replace", "path": "/context/release/subject_recipient", "value": "lab-2"}])
	missing := serve.missing with input as question
	missing == {"recipient_bound"}
}

test_denies_without_context_release_recipient if {
	question := json.patch(examples.serve.engineer, [{"op": "remove", "path": "/context/release/recipient"}])
	missing := serve.missing with input as question
	"recipient_bound" in missing
}

test_denies_without_context_release_subject_recipient if {
	question := json.patch(examples.serve.engineer, [{"op": "remove", "path": "/context/release/subject_recipient"}])
	missing := serve.missing with input as question
	"recipient_bound" in missing
}
