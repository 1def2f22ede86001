package fleetgate.release

# METADATA
# title: Vehicle identifiers, absolute time and metadata are gone from every item
# description: 车辆识别码、绝对时间与元数据须去除
# custom:
#   number: '22'
#   clause: 个人信息保护法 73; DESIGN.md §3 law 7
#   confidence: L2
passed contains "identifiers_stripped" if {
	every item in input.resource.items { identifiers_stripped_item(item) }
}

identifiers_stripped_item(item) if {
	item.vin_found == 0
	item.absolute_time in {"stripped", "shifted", "none"}
	item.metadata_stripped == true
}

facts contains {"rule": "identifiers_stripped", "fact": fact} if {
	"identifiers_stripped" in missing
	some item in input.resource.items
	fact := {
		"item": item.id,
		"vin_found": item.vin_found,
		"absolute_time": item.absolute_time,
		"metadata_stripped": item.metadata_stripped,
	}
	count({item.id} - identifiers_stripped_sound) > 0
}

identifiers_stripped_sound := {entry.id | some entry in input.resource.items; identifiers_stripped_item(entry)}
