package fleetgate_test.publish.enough_approvers

import data.examples
import data.fleetgate.publish

test_passes_two_operators if "enough_approvers" in publish.passed with input as examples.publish.two_operators

test_passes_one_operator if "enough_approvers" in publish.passed with input as examples.publish.one_operator

test_passes_eu if "enough_approvers" in publish.passed with input as examples.publish.eu

test_denies_content_changed_after_it_was_approved if {
	question := json.patch(examples.publish.two_operators, [{"op": "replace", "path": "/resource/digest", "value": "0000000000000000000000000000000000000000000000000000000000000000"}, {"op": "replace", "path": "/resource/judged_digest", "value": "0000000000000000000000000000000000000000000000000000000000000000"}, {"op": "replace", "path": "/context/decision/release_digest", "value": "0000000000000000000000000000000000000000000000000000000000000000"}])
	missing := publish.missing with input as question
	missing == {"approvals_signed", "enough_approvers"}
}

test_denies_no_approval if {
	question := json.patch(examples.publish.two_operators, [{"op": "replace", "path": "/context/approvals", "value": []}])
	missing := publish.missing with input as question
	missing == {"approvals_signed", "enough_approvers"}
}

test_denies_one_person_approves_twice if {
	question := json.patch(examples.publish.two_operators, [{"op": "replace", "path": "/context/approvals/1/approver", "value": "person-2"}])
	missing := publish.missing with input as question
	missing == {"enough_approvers"}
}

test_denies_important_sources_take_two_though_the_output_is_processed if {
	question := json.patch(examples.publish.one_operator, [{"op": "replace", "path": "/resource/source_level", "value": "S3_IMPORTANT"}])
	missing := publish.missing with input as question
	missing == {"enough_approvers"}
}

test_denies_an_important_output_takes_two if {
	question := json.patch(examples.publish.one_operator, [{"op": "replace", "path": "/resource/level", "value": "S3_IMPORTANT"}])
	missing := publish.missing with input as question
	missing == {"enough_approvers"}
}

test_denies_the_submitter_is_one_of_two_approvers if {
	question := json.patch(examples.publish.two_operators, [{"op": "replace", "path": "/context/approvals/1/approver", "value": "person-1"}])
	missing := publish.missing with input as question
	missing == {"enough_approvers", "submitter_apart"}
}

test_denies_without_resource_submitter if {
	question := json.patch(examples.publish.two_operators, [{"op": "remove", "path": "/resource/submitter"}])
	missing := publish.missing with input as question
	"enough_approvers" in missing
}
