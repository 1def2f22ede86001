package fleetgate_test.release.level_kept

import data.examples.release as base
import data.fleetgate.release

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "level_kept" in release.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes local": {"passes": true, "question": base.local},
	"passes offset": {"passes": true, "question": base.offset},
	"passes approved": {"passes": true, "question": base.approved},
	"passes public": {"passes": true, "question": base.public},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: approved mode without the processor's identifier": {"passes": false, "question": json.patch(base.approved, [{"op": "replace", "path": "/resource/secrecy_tech_id", "value": null}])},
	"denies: a local frame does not lower geographic information": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/resource/items/1/level_out", "value": "S1_PROCESSED"}])},
	"denies: an offset does not lower geographic information": {"passes": false, "question": json.patch(base.offset, [{"op": "replace", "path": "/resource/items/1/level_out", "value": "S2_SENSITIVE_PI"}])},
	"denies: GCJ-02 lowers nothing": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/resource/items/0/crs", "value": "GCJ-02"}, {"op": "replace", "path": "/resource/items/0/zone_check", "value": "tested"}, {"op": "replace", "path": "/resource/items/0/position_handling", "value": "none"}])},
	"denies: no treatment lowers nothing": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/resource/items/0/treatments", "value": []}, {"op": "replace", "path": "/resource/items/0/tags", "value": []}, {"op": "replace", "path": "/resource/items/0/findings", "value": {"face": 0, "plate": 0}}])},
	"denies: the processor did not handle this item": {"passes": false, "question": json.patch(base.approved, [{"op": "replace", "path": "/resource/items/1/position_handling", "value": "stripped"}])},
	"denies: a raw position lowers nothing": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/resource/items/0/position_handling", "value": "raw"}])},
	"denies without resource.items": {"passes": false, "question": json.patch(base.local, [{"op": "remove", "path": "/resource/items"}])},
	"denies without resource.mode": {"passes": false, "question": json.patch(base.approved, [{"op": "remove", "path": "/resource/mode"}])},
	"denies without resource.secrecy_tech_id": {"passes": false, "question": json.patch(base.approved, [{"op": "remove", "path": "/resource/secrecy_tech_id"}])},
}
