package fleetgate_test.destroy.records_kept

import data.examples.destroy as base
import data.fleetgate.destroy

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "records_kept" in destroy.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes originals": {"passes": true, "question": base.originals},
	"passes recording": {"passes": true, "question": base.recording},
	"passes release": {"passes": true, "question": base.release},
	"passes detail": {"passes": true, "question": base.detail},
	"passes eu": {"passes": true, "question": base.eu},
	"passes: 29 February until 1 March": {"passes": true, "question": json.patch(base.release, [{"op": "replace", "path": "/context/time", "value": "2027-03-01T12:00:00Z"}, {"op": "replace", "path": "/resource/records", "value": [{"kind": "provision", "ended_at": "2024-02-29T12:00:00Z"}]}])},
	"denies: a second before three years": {"passes": false, "question": json.patch(base.release, [{"op": "replace", "path": "/resource/records/0/ended_at", "value": "2023-05-16T08:00:01Z"}])},
	"denies: an assessment a second before three years": {"passes": false, "question": json.patch(base.release, [{"op": "replace", "path": "/resource/records/1/ended_at", "value": "2023-05-16T08:00:01Z"}])},
	"denies: 29 February on 28 February": {"passes": false, "question": json.patch(base.release, [{"op": "replace", "path": "/context/time", "value": "2027-02-28T12:00:00Z"}, {"op": "replace", "path": "/resource/records", "value": [{"kind": "provision", "ended_at": "2024-02-29T12:00:00Z"}]}])},
	"denies: a second before 185 days": {"passes": false, "question": json.patch(base.detail, [{"op": "replace", "path": "/resource/records/0/ended_at", "value": "2025-11-12T08:00:01Z"}])},
	"denies: secret geographic data in a century": {"passes": false, "question": json.patch(base.release, [{"op": "replace", "path": "/context/time", "value": "2126-05-16T08:00:00Z"}, {"op": "replace", "path": "/resource/records/0/kind", "value": "secret_geo"}])},
	"denies: no record": {"passes": false, "question": json.patch(base.release, [{"op": "replace", "path": "/resource/records", "value": []}])},
	"denies: the gate's own key": {"passes": false, "question": json.patch(base.recording, [{"op": "replace", "path": "/resource/seals", "value": "gate"}])},
	"denies without resource.records": {"passes": false, "question": json.patch(base.release, [{"op": "remove", "path": "/resource/records"}])},
	"denies without resource.records.0.kind": {"passes": false, "question": json.patch(base.release, [{"op": "remove", "path": "/resource/records/0/kind"}])},
	"denies without resource.records.1.ended_at": {"passes": false, "question": json.patch(base.release, [{"op": "remove", "path": "/resource/records/1/ended_at"}])},
	"denies without resource.seals": {"passes": false, "question": json.patch(base.release, [{"op": "remove", "path": "/resource/seals"}])},
	"denies without context.time": {"passes": false, "question": json.patch(base.release, [{"op": "remove", "path": "/context/time"}])},
}
