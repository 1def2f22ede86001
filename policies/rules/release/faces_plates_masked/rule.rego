package fleetgate.release

import data.fleetgate.lib

# METADATA
# title: Every required detector ran on every image, and every face and plate found was masked destructively and encoded anew
# description: 人脸与车牌须破坏性遮盖并重编码；检测缺失即拒绝
# custom:
#   number: '16'
#   clause: 汽车数据安全管理若干规定（试行）第8条; GB/T 44464-2024
#   confidence: L2
passed contains "faces_plates_masked" if {
	count(faces_plates_masked_by) > 0
	every item in input.resource.items { faces_plates_masked_item(item) }
}

faces_plates_masked_item(item) if {
	is_number(item.masked.face)
	is_number(item.masked.plate)
	item.masked.face >= item.findings.face
	item.masked.plate >= item.findings.plate
	item.findings.face >= 0
	item.findings.plate >= 0
	faces_plates_masked_detected(item)
	faces_plates_masked_treated(item)
}

faces_plates_masked_detected(item) if {
	count(faces_plates_masked_by - {detector | some detector in item.detectors_ran}) == 0
}

faces_plates_masked_by := {detector | some detector in input.context.detectors_required}

faces_plates_masked_detected(item) if {
	count({item.class} - law_imagery_classes) == 1
	count({item.kind} - {"image", "video"}) == 1
	is_array(item.detectors_ran)
}

faces_plates_masked_treated(item) if {
	item.findings.face == 0
	item.findings.plate == 0
	count(lib.tags(item) & {"FACE", "PLATE"}) == 0
}

faces_plates_masked_treated(item) if lib.masked(item)

facts contains {"rule": "faces_plates_masked", "fact": {"detectors_required": []}} if count(faces_plates_masked_by) == 0

facts contains {"rule": "faces_plates_masked", "fact": fact} if {
	"faces_plates_masked" in missing
	some item in input.resource.items
	fact := {
		"item": item.id,
		"detectors_ran": item.detectors_ran,
		"detectors_required": input.context.detectors_required,
		"findings": item.findings,
		"masked": item.masked,
		"treatments": item.treatments,
	}
	count({item.id} - faces_plates_masked_sound) > 0
}

faces_plates_masked_sound := {entry.id | some entry in input.resource.items; faces_plates_masked_item(entry)}
