package fleetgate_test.release.faces_plates_masked

import data.examples
import data.fleetgate.release

test_passes_local if "faces_plates_masked" in release.passed with input as examples.release.local

test_passes_offset if "faces_plates_masked" in release.passed with input as examples.release.offset

test_passes_approved if "faces_plates_masked" in release.passed with input as examples.release.approved

test_passes_public if "faces_plates_masked" in release.passed with input as examples.release.public

test_passes_eu if "faces_plates_masked" in release.passed with input as examples.release.eu

test_denies_no_detector_is_required if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/context/detectors_required", "value": []}])
	missing := release.missing with input as question
	missing == {"faces_plates_masked"}
}

test_denies_the_plate_detector_did_not_run if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/resource/items/0/detectors_ran", "value": ["face"]}])
	missing := release.missing with input as question
	missing == {"faces_plates_masked"}
}

test_denies_an_image_filed_under_another_class if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/resource/items/1/kind", "value": "image"}])
	missing := release.missing with input as question
	missing == {"faces_plates_masked"}
}

test_denies_a_video_frame_class_filed_under_another_kind if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/resource/items/1/class", "value": "EXT_VIDEO"}])
	missing := release.missing with input as question
	missing == {"faces_plates_masked"}
}

test_denies_one_face_is_not_masked if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/resource/items/0/masked", "value": {"face": 1, "plate": 1}}])
	missing := release.missing with input as question
	missing == {"faces_plates_masked"}
}

test_denies_the_plate_is_not_masked if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/resource/items/0/masked", "value": {"face": 2, "plate": 0}}])
	missing := release.missing with input as question
	missing == {"faces_plates_masked"}
}

test_denies_masked_but_not_encoded_anew if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/resource/items/0/treatments", "value": ["strip_metadata", "mask_mean"]}])
	missing := release.missing with input as question
	missing == {"faces_plates_masked"}
}

test_denies_blur_is_no_mask if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/resource/items/0/treatments", "value": ["blur", "reencode"]}])
	missing := release.missing with input as question
	missing == {"faces_plates_masked"}
}

test_denies_a_plate_was_tagged_but_none_found if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/resource/items/0/findings", "value": {"face": 0, "plate": 0}}, {"op": "replace", "path": "/resource/items/0/treatments", "value": ["reencode"]}])
	missing := release.missing with input as question
	missing == {"faces_plates_masked"}
}

test_denies_a_face_was_found_though_not_tagged if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/resource/items/0/tags", "value": []}, {"op": "replace", "path": "/resource/items/0/findings", "value": {"face": 2, "plate": 0}}, {"op": "replace", "path": "/resource/items/0/treatments", "value": ["reencode"]}])
	missing := release.missing with input as question
	missing == {"faces_plates_masked"}
}

test_denies_a_plate_was_found_though_not_tagged if {
	question := json.patch(examples.release.local, [{"op": "replace", "path": "/resource/items/0/tags", "value": []}, {"op": "replace", "path": "/resource/items/0/findings", "value": {"face": 0, "plate": 1}}, {"op": "replace", "path": "/resource/items/0/treatments", "value": ["reencode"]}])
	missing := release.missing with input as question
	missing == {"faces_plates_masked"}
}

test_denies_without_context_detectors_required if {
	question := json.patch(examples.release.local, [{"op": "remove", "path": "/context/detectors_required"}])
	missing := release.missing with input as question
	"faces_plates_masked" in missing
}

test_denies_without_resource_items if {
	question := json.patch(examples.release.local, [{"op": "remove", "path": "/resource/items"}])
	missing := release.missing with input as question
	"faces_plates_masked" in missing
}
