package fleetgate_test.publish.submitter_apart

import data.examples.publish as base
import data.fleetgate.publish

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "submitter_apart" in publish.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes two_operators": {"passes": true, "question": base.two_operators},
	"passes one_operator": {"passes": true, "question": base.one_operator},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: the submitter is one of two approvers": {"passes": false, "question": json.patch(base.two_operators, [{"op": "replace", "path": "/context/approvals/1/approver", "value": "person-1"}])},
	"denies: the submitter approves as a third": {"passes": false, "question": json.patch(base.two_operators, [{"op": "add", "path": "/context/approvals/2", "value": {"approver": "person-1", "roles": ["operator"], "digest": "aa11bb22cc33dd44ee55ff66aa77bb88cc99dd00ee11ff22aa33bb44cc55dd66", "signature_verified": true, "signed_at": "2026-05-02T11:45:00Z", "licence_valid": true}}])},
	"denies without context.approvals": {"passes": false, "question": json.patch(base.two_operators, [{"op": "remove", "path": "/context/approvals"}])},
	"denies without resource.submitter": {"passes": false, "question": json.patch(base.two_operators, [{"op": "remove", "path": "/resource/submitter"}])},
}
