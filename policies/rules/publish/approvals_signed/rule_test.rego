package fleetgate_test.publish.approvals_signed

import data.examples.publish as base
import data.fleetgate.publish

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "approvals_signed" in publish.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes two_operators": {"passes": true, "question": base.two_operators},
	"passes one_operator": {"passes": true, "question": base.one_operator},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: content changed after it was approved": {"passes": false, "question": json.patch(base.two_operators, [{"op": "replace", "path": "/resource/digest", "value": "0000000000000000000000000000000000000000000000000000000000000000"}, {"op": "replace", "path": "/resource/judged_digest", "value": "0000000000000000000000000000000000000000000000000000000000000000"}, {"op": "replace", "path": "/context/decision/release_digest", "value": "0000000000000000000000000000000000000000000000000000000000000000"}])},
	"denies: no approval": {"passes": false, "question": json.patch(base.two_operators, [{"op": "replace", "path": "/context/approvals", "value": []}])},
	"denies: a signature does not verify": {"passes": false, "question": json.patch(base.two_operators, [{"op": "replace", "path": "/context/approvals/1/signature_verified", "value": false}])},
	"denies: an approver's licence has lapsed": {"passes": false, "question": json.patch(base.two_operators, [{"op": "replace", "path": "/context/approvals/1/licence_valid", "value": false}])},
	"denies: an auditor approves": {"passes": false, "question": json.patch(base.two_operators, [{"op": "replace", "path": "/context/approvals/1/roles", "value": ["auditor"]}])},
	"denies: an approval from the future": {"passes": false, "question": json.patch(base.two_operators, [{"op": "replace", "path": "/context/approvals/1/signed_at", "value": "2026-05-02T12:00:01Z"}])},
	"denies without context.time": {"passes": false, "question": json.patch(base.two_operators, [{"op": "remove", "path": "/context/time"}])},
}
