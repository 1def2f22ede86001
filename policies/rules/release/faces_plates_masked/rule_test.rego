package fleetgate_test.release.faces_plates_masked

import data.examples.release as base
import data.fleetgate.release

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "faces_plates_masked" in release.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes local": {"passes": true, "question": base.local},
	"passes offset": {"passes": true, "question": base.offset},
	"passes approved": {"passes": true, "question": base.approved},
	"passes public": {"passes": true, "question": base.public},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: no detector is required": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/context/detectors_required", "value": []}])},
	"denies: the plate detector did not run": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/resource/items/0/detectors_ran", "value": ["face"]}])},
	"denies: an image filed under another class": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/resource/items/1/kind", "value": "image"}])},
	"denies: a video frame class filed under another kind": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/resource/items/1/class", "value": "EXT_VIDEO"}])},
	"denies: one face is not masked": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/resource/items/0/masked", "value": {"face": 1, "plate": 1}}])},
	"denies: the plate is not masked": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/resource/items/0/masked", "value": {"face": 2, "plate": 0}}])},
	"denies: masked but not encoded anew": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/resource/items/0/treatments", "value": ["strip_metadata", "mask_mean"]}])},
	"denies: blur is no mask": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/resource/items/0/treatments", "value": ["blur", "reencode"]}])},
	"denies: a plate was tagged but none found": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/resource/items/0/findings", "value": {"face": 0, "plate": 0}}, {"op": "replace", "path": "/resource/items/0/treatments", "value": ["reencode"]}])},
	"denies: a face was found though not tagged": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/resource/items/0/tags", "value": []}, {"op": "replace", "path": "/resource/items/0/findings", "value": {"face": 2, "plate": 0}}, {"op": "replace", "path": "/resource/items/0/treatments", "value": ["reencode"]}])},
	"denies: a plate was found though not tagged": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/resource/items/0/tags", "value": []}, {"op": "replace", "path": "/resource/items/0/findings", "value": {"face": 0, "plate": 1}}, {"op": "replace", "path": "/resource/items/0/treatments", "value": ["reencode"]}])},
	"denies without context.detectors_required": {"passes": false, "question": json.patch(base.local, [{"op": "remove", "path": "/context/detectors_required"}])},
	"denies without resource.items": {"passes": false, "question": json.patch(base.local, [{"op": "remove", "path": "/resource/items"}])},
}
