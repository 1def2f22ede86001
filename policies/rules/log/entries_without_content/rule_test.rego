package fleetgate_test.log.entries_without_content

import data.examples.log as base
import data.fleetgate.log

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "entries_without_content" in log.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes ledger": {"passes": true, "question": base.ledger},
	"passes commercial": {"passes": true, "question": base.commercial},
	"passes eu": {"passes": true, "question": base.eu},
	"passes: fewer fields": {"passes": true, "question": json.patch(base.ledger, [{"op": "replace", "path": "/resource/fields", "value": [{"name": "actor", "kind": "token"}]}])},
	"denies: free text": {"passes": false, "question": json.patch(base.ledger, [{"op": "replace", "path": "/resource/fields", "value": [{"name": "note", "kind": "text"}]}])},
	"denies: a known field of another kind": {"passes": false, "question": json.patch(base.ledger, [{"op": "replace", "path": "/resource/fields/6/kind", "value": "text"}])},
	"denies: an unknown field of a closed kind": {"passes": false, "question": json.patch(base.ledger, [{"op": "replace", "path": "/resource/fields/0/name", "value": "plate"}])},
	"denies: no fields": {"passes": false, "question": json.patch(base.ledger, [{"op": "replace", "path": "/resource/fields", "value": []}])},
	"denies without resource.fields": {"passes": false, "question": json.patch(base.ledger, [{"op": "remove", "path": "/resource/fields"}])},
	"denies without resource.fields.0.kind": {"passes": false, "question": json.patch(base.ledger, [{"op": "remove", "path": "/resource/fields/0/kind"}])},
	"denies without resource.fields.0.name": {"passes": false, "question": json.patch(base.ledger, [{"op": "remove", "path": "/resource/fields/0/name"}])},
	"denies without context.time": {"passes": false, "question": json.patch(base.ledger, [{"op": "remove", "path": "/context/time"}])},
}
