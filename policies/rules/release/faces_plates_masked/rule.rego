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
	count(input.context.detectors_required) > 0
	every item in input.resource.items {
		item.masked.face >= item.findings.face
		item.masked.plate >= item.findings.plate
		item.findings.face >= 0
		item.findings.plate >= 0
		faces_plates_detected(item)
		faces_plates_treated(item)
	}
}

faces_plates_detected(item) if {
	required := {detector | some detector in input.context.detectors_required}
	count(required - {detector | some detector in item.detectors_ran}) == 0
}

faces_plates_detected(item) if {
	imagery := lib.members(data.law.taxonomy.imagery_classes, input.context.time)
	count({item.class} - imagery) == 1
	count({item.kind} - {"image", "video"}) == 1
	is_array(item.detectors_ran)
}

faces_plates_treated(item) if {
	item.findings.face == 0
	item.findings.plate == 0
	count(lib.tags(item) & {"FACE", "PLATE"}) == 0
}

faces_plates_treated(item) if lib.masked(item)

facts.faces_plates_masked contains fact if {
	some item in input.resource.items
	fact := {
		"item": item.id,
		"detectors_ran": item.detectors_ran,
		"detectors_required": input.context.detectors_required,
		"findings": item.findings,
		"masked": item.masked,
		"treatments": item.treatments,
	}
	sound := {entry.id |
		some entry in input.resource.items
		entry.masked.face >= entry.findings.face
		entry.masked.plate >= entry.findings.plate
		faces_plates_detected(entry)
		faces_plates_treated(entry)
	}
	count({item.id} - sound) > 0
}
