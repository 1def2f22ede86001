package fleetgate_test.publish.evidence_seen

import data.examples.publish as base
import data.fleetgate.publish

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "evidence_seen" in publish.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes two_operators": {"passes": true, "question": base.two_operators},
	"passes one_operator": {"passes": true, "question": base.one_operator},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: one did not look": {"passes": false, "question": json.patch(base.two_operators, [{"op": "replace", "path": "/context/approvals/1/evidence_seen", "value": false}])},
	"denies: the only one did not look": {"passes": false, "question": json.patch(base.one_operator, [{"op": "replace", "path": "/context/approvals/0/evidence_seen", "value": false}])},
	"denies: no approval": {"passes": false, "question": json.patch(base.two_operators, [{"op": "replace", "path": "/context/approvals", "value": []}])},
	"denies without the fact": {"passes": false, "question": json.patch(base.two_operators, [{"op": "remove", "path": "/context/approvals/0/evidence_seen"}])},
}
