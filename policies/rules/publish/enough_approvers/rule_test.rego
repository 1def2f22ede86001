package fleetgate_test.publish.enough_approvers

import data.examples.publish as base
import data.fleetgate.publish

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "enough_approvers" in publish.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes two_operators": {"passes": true, "question": base.two_operators},
	"passes one_operator": {"passes": true, "question": base.one_operator},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: content changed after it was approved": {"passes": false, "question": json.patch(base.two_operators, [{"op": "replace", "path": "/resource/digest", "value": "0000000000000000000000000000000000000000000000000000000000000000"}, {"op": "replace", "path": "/resource/judged_digest", "value": "0000000000000000000000000000000000000000000000000000000000000000"}, {"op": "replace", "path": "/context/decision/release_digest", "value": "0000000000000000000000000000000000000000000000000000000000000000"}])},
	"denies: no approval": {"passes": false, "question": json.patch(base.two_operators, [{"op": "replace", "path": "/context/approvals", "value": []}])},
	"denies: one person approves twice": {"passes": false, "question": json.patch(base.two_operators, [{"op": "replace", "path": "/context/approvals/1/approver", "value": "person-2"}])},
	"denies: important sources take two though the output is processed": {"passes": false, "question": json.patch(base.one_operator, [{"op": "replace", "path": "/resource/source_level", "value": "S3_IMPORTANT"}])},
	"denies: an important output takes two": {"passes": false, "question": json.patch(base.one_operator, [{"op": "replace", "path": "/resource/level", "value": "S3_IMPORTANT"}])},
	"denies: the submitter is one of two approvers": {"passes": false, "question": json.patch(base.two_operators, [{"op": "replace", "path": "/context/approvals/1/approver", "value": "person-1"}])},
	"denies without resource.submitter": {"passes": false, "question": json.patch(base.two_operators, [{"op": "remove", "path": "/resource/submitter"}])},
}
