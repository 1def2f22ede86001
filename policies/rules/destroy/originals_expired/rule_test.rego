package fleetgate_test.destroy.originals_expired

import data.examples.destroy as base
import data.fleetgate.destroy

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "originals_expired" in destroy.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes originals": {"passes": true, "question": base.originals},
	"passes recording": {"passes": true, "question": base.recording},
	"passes release": {"passes": true, "question": base.release},
	"passes detail": {"passes": true, "question": base.detail},
	"passes eu": {"passes": true, "question": base.eu},
	"passes: exactly as old as they may be": {"passes": true, "question": json.patch(base.originals, [{"op": "replace", "path": "/resource/received_at", "value": "2026-05-02T08:00:00Z"}])},
	"passes: an attestation that is over": {"passes": true, "question": json.patch(base.originals, [{"op": "replace", "path": "/resource/attested_until", "value": "2026-05-16T07:59:59Z"}])},
	"denies: a second too young": {"passes": false, "question": json.patch(base.originals, [{"op": "replace", "path": "/resource/received_at", "value": "2026-05-02T08:00:01Z"}])},
	"denies: an attestation of this instant": {"passes": false, "question": json.patch(base.originals, [{"op": "replace", "path": "/resource/attested_until", "value": "2026-05-16T08:00:00Z"}])},
	"denies: nobody knows when they came": {"passes": false, "question": json.patch(base.originals, [{"op": "replace", "path": "/resource/received_at", "value": null}])},
	"denies without resource.received_at": {"passes": false, "question": json.patch(base.originals, [{"op": "remove", "path": "/resource/received_at"}])},
	"denies without resource.attested_until": {"passes": false, "question": json.patch(base.originals, [{"op": "remove", "path": "/resource/attested_until"}])},
	"denies without resource.seals": {"passes": false, "question": json.patch(base.originals, [{"op": "remove", "path": "/resource/seals"}])},
	"denies without context.time": {"passes": false, "question": json.patch(base.originals, [{"op": "remove", "path": "/context/time"}])},
}
