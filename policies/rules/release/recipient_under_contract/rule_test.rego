package fleetgate_test.release.recipient_under_contract

import data.examples.release as base
import data.fleetgate.release

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "recipient_under_contract" in release.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes local": {"passes": true, "question": base.local},
	"passes offset": {"passes": true, "question": base.offset},
	"passes approved": {"passes": true, "question": base.approved},
	"passes public": {"passes": true, "question": base.public},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: recipient is not registered": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/context/recipient/registered", "value": false}])},
	"denies: recipient has no contract": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/context/recipient/contracts", "value": []}])},
	"denies: contract has ended": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/context/recipient/contracts/0/valid_to", "value": "2026-05-02T10:00:00Z"}])},
	"denies: contract for another purpose": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/context/recipient/contracts/0/purposes", "value": ["simulation"]}])},
	"denies: never inspected": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/context/recipient/supervision/last", "value": null}])},
	"denies: inspected too long ago": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/context/recipient/supervision/last", "value": "2025-05-02T09:59:59Z"}])},
	"denies: a finding stands open": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/context/recipient/supervision/open_findings", "value": 1}])},
	"denies without context.recipient.contracts": {"passes": false, "question": json.patch(base.local, [{"op": "remove", "path": "/context/recipient/contracts"}])},
	"denies without context.recipient.registered": {"passes": false, "question": json.patch(base.local, [{"op": "remove", "path": "/context/recipient/registered"}])},
	"denies without context.recipient.supervision": {"passes": false, "question": json.patch(base.local, [{"op": "remove", "path": "/context/recipient/supervision"}])},
	"denies without context.recipient.supervision.last": {"passes": false, "question": json.patch(base.local, [{"op": "remove", "path": "/context/recipient/supervision/last"}])},
	"denies without context.recipient.supervision.open_findings": {"passes": false, "question": json.patch(base.local, [{"op": "remove", "path": "/context/recipient/supervision/open_findings"}])},
	"denies without context.purpose": {"passes": false, "question": json.patch(base.local, [{"op": "remove", "path": "/context/purpose"}])},
}
