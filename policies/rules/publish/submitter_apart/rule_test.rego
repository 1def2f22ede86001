package fleetgate_test.publish.submitter_apart

import data.examples
import data.fleetgate.publish

test_passes_two_operators if "submitter_apart" in publish.passed with input as examples.publish.two_operators

test_passes_one_operator if "submitter_apart" in publish.passed with input as examples.publish.one_operator

test_passes_eu if "submitter_apart" in publish.passed with input as examples.publish.eu

test_denies_the_submitter_is_one_of_two_approvers if {
	question := json.patch(examples.publish.two_operators, [{"op": "replace", "path": "/context/approvals/1/approver", "value": "person-1"}])
	missing := publish.missing with input as question
	missing == {"enough_approvers", "submitter_apart"}
}

test_denies_the_submitter_approves_as_a_third if {
	question := json.patch(examples.publish.two_operators, [{"op": "add", "path": "/context/approvals/2", "value": {"approver": "person-1", "roles": ["operator"], "digest": "aa11bb22cc33dd44ee55ff66aa77bb88cc99dd00ee11ff22aa33bb44cc55dd66", "signature_verified": true, "signed_at": "2026-05-02T11:45:00Z", "licence_valid": true}}])
	missing := publish.missing with input as question
	missing == {"submitter_apart"}
}

test_denies_without_context_approvals if {
	question := json.patch(examples.publish.two_operators, [{"op": "remove", "path": "/context/approvals"}])
	missing := publish.missing with input as question
	"submitter_apart" in missing
}

test_denies_without_resource_submitter if {
	question := json.patch(examples.publish.two_operators, [{"op": "remove", "path": "/resource/submitter"}])
	missing := publish.missing with input as question
	"submitter_apart" in missing
}
