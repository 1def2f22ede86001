package fleetgate.release

import data.fleetgate.lib

# METADATA
# title: Every item's class, levels, coordinate system and tags are known
# description: 类别、级别、坐标系或标签未知的数据不得发布
# custom:
#   number: '2'
#   clause: COMPLIANCE.md §2; 数据安全法 21
#   confidence: L2
passed contains "known_content" if {
	every item in input.resource.items { known_content_item(item) }
}

known_content_item(item) if {
	is_string(lib.law(data.law.taxonomy.class_level, input.context.time)[item.class])
	lib.rank(item.level_in, input.context.time) < lib.rank("SX_UNKNOWN", input.context.time)
	lib.rank(item.level_out, input.context.time) < lib.rank("SX_UNKNOWN", input.context.time)
	item.crs in lib.law(data.law.position.known_crs, input.context.time)
	count(lib.tags(item) - lib.members(data.law.taxonomy.tags, input.context.time)) == 0
}

facts.known_content contains fact if {
	some item in input.resource.items
	fact := {
		"item": item.id,
		"class": item.class,
		"level_in": item.level_in,
		"level_out": item.level_out,
		"crs": item.crs,
		"tags": item.tags,
	}
	known := {entry.id | some entry in input.resource.items; known_content_item(entry)}
	count({item.id} - known) > 0
}
