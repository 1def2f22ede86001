package fleetgate_test.release.known_content

import data.examples.release as base
import data.fleetgate.release

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "known_content" in release.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes local": {"passes": true, "question": base.local},
	"passes offset": {"passes": true, "question": base.offset},
	"passes approved": {"passes": true, "question": base.approved},
	"passes public": {"passes": true, "question": base.public},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: unknown class": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/resource/items/0/class", "value": "RADAR_CUBE"}])},
	"denies: unknown level": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/resource/items/0/level_in", "value": "SX_UNKNOWN"}, {"op": "replace", "path": "/resource/items/0/level_out", "value": "SX_UNKNOWN"}])},
	"denies: unknown source level though processed": {"passes": false, "question": json.patch(base.approved, [{"op": "replace", "path": "/resource/items/1/level_in", "value": "SX_UNKNOWN"}])},
	"denies: unknown coordinate system": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/resource/items/1/crs", "value": "BEIJING54"}])},
	"passes a map of nuScenes": {"passes": true, "question": json.patch(base.local, [{"op": "replace", "path": "/resource/items/1/crs", "value": "nuscenes:boston-seaport"}])},
	"denies: an unknown map of nuScenes": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/resource/items/1/crs", "value": "nuscenes:beijing-haidian"}])},
	"denies: unknown tag": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/resource/items/1/tags", "value": ["TRACK", "DRAGON"]}])},
	"denies without resource.items": {"passes": false, "question": json.patch(base.local, [{"op": "remove", "path": "/resource/items"}])},
}
