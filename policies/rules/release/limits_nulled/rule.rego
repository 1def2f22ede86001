package fleetgate.release

import data.fleetgate.lib

# METADATA
# title: Height, width and weight limits, bridge loads and elevations are nulled and sign text is masked
# description: 限高限宽限重、桥梁荷载、高程属性须清空
# custom:
#   number: '14'
#   clause: GB 20263 §6; 地理信息公开表示内容的规定（2009）
#   confidence: M
passed contains "limits_nulled" if {
	input.context.profile.jurisdiction == "CN"
	every item in input.resource.items { limits_nulled_item(item) }
}

# Not applicable under EU law.
passed contains "limits_nulled" if input.context.profile.jurisdiction == "EU"

limits_nulled_item(item) if count(lib.tags(item) & law_nulled_attribute_tags) == 0

limits_nulled_item(item) if item.sign_attributes_nulled == true

obligations contains {"kind": "mask_signs", "parameters": {"items": pictured}} if {
	"limit_sign" in input.context.detectors_required
	pictured := sort({item.id | some item in input.resource.items; item.class in law_imagery_classes})
	count(pictured) > 0
}

facts contains {"rule": "limits_nulled", "fact": fact} if {
	"limits_nulled" in missing
	some item in input.resource.items
	found := lib.tags(item) & law_nulled_attribute_tags
	count(found) > 0
	fact := {"item": item.id, "tags": sort(found), "attributes_nulled": item.sign_attributes_nulled}
}
