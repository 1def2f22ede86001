package fleetgate_test.publish.approvals_signed

import data.examples
import data.fleetgate.publish

test_passes_two_operators if "approvals_signed" in publish.passed with input as examples.publish.two_operators

test_passes_one_operator if "approvals_signed" in publish.passed with input as examples.publish.one_operator

test_passes_eu if "approvals_signed" in publish.passed with input as examples.publish.eu

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

test_denies_a_signature_does_not_verify if {
	question := json.patch(examples.publish.two_operators, [{"op": "replace", "path": "/context/approvals/1/signature_verified", "value": false}])
	missing := publish.missing with input as question
	missing == {"approvals_signed"}
}

test_denies_an_approver_s_licence_has_lapsed if {
	question := json.patch(examples.publish.two_operators, [{"op": "replace", "path": "/context/approvals/1/licence_valid", "value": false}])
	missing := publish.missing with input as question
	missing == {"approvals_signed"}
}

test_denies_an_auditor_approves if {
	question := json.patch(examples.publish.two_operators, [{"op": "replace", "path": "/context/approvals/1/roles", "value": ["auditor"]}])
	missing := publish.missing with input as question
	missing == {"approvals_signed"}
}

test_denies_an_approval_from_the_future if {
	question := json.patch(examples.publish.two_operators, [{"op": "replace", "path": "/context/approvals/1/signed_at", "value": "2026-05-02T12:00:01Z"}])
	missing := publish.missing with input as question
	missing == {"approvals_signed"}
}

test_denies_without_context_time if {
	question := json.patch(examples.publish.two_operators, [{"op": "remove", "path": "/context/time"}])
	missing := publish.missing with input as question
	"approvals_signed" in missing
}
