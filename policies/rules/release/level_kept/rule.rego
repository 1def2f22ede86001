package fleetgate.release

import data.fleetgate.lib

# METADATA
# title: Only a recognised processor lowers sensitive geographic information; a public formula such as GCJ-02 lowers nothing
# description: 敏感地理信息的级别仅可由认定技术降低；GCJ-02 不降级
# custom:
#   number: '9'
#   clause: 自然资发〔2024〕139号; DESIGN.md §4 Coordinates
#   confidence: L2
passed contains "level_kept" if {
	every item in input.resource.items { level_kept_item(item) }
}

level_kept_item(item) if {
	law_level_rank[item.level_out] >= law_level_rank[item.level_in]
}

level_kept_item(item) if {
	law_level_rank[item.level_in] < law_level_rank.S3_SENSITIVE_GEO
	count(lib.treatments(item)) > 0
	level_kept_position(item)
}

level_kept_item(item) if {
	input.resource.mode == "APPROVED"
	lib.stated(input.resource.secrecy_tech_id)
	item.position_handling == "approved"
}

level_kept_position(item) if item.position_handling in {"stripped", "local", "offset", "approved"}

level_kept_position(item) if {
	item.position_handling == "none"
	count({item.crs} - law_public_formula_crs) == 1
}

facts contains {"rule": "level_kept", "fact": fact} if {
	"level_kept" in missing
	some item in input.resource.items
	fact := {
		"item": item.id,
		"level_in": item.level_in,
		"level_out": item.level_out,
		"crs": item.crs,
		"position_handling": item.position_handling,
		"treatments": item.treatments,
	}
	count({item.id} - level_kept_sound) > 0
}

level_kept_sound := {entry.id | some entry in input.resource.items; level_kept_item(entry)}
