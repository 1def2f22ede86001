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
	is_string(law_class_level[item.class])
	law_level_rank[item.level_in] < law_level_rank.SX_UNKNOWN
	law_level_rank[item.level_out] < law_level_rank.SX_UNKNOWN
	law_knows_crs(item.crs)
	count(lib.tags(item) - law_tags) == 0
}

facts contains {"rule": "known_content", "fact": fact} if {
	"known_content" in missing
	some item in input.resource.items
	fact := {
		"item": item.id,
		"class": item.class,
		"level_in": item.level_in,
		"level_out": item.level_out,
		"crs": item.crs,
		"tags": item.tags,
	}
	count({item.id} - known_content_sound) > 0
}

known_content_sound := {entry.id | some entry in input.resource.items; known_content_item(entry)}
