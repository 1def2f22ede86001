package fleetgate.release

import data.fleetgate.lib

# METADATA
# title: Every item was tested against restricted zones and every hit on a military, defence or custody site was cut with its margin
# description: 军事、国防工业、监管场所须在所有模态中连同边距删除
# custom:
#   number: '11'
#   clause: 公开地图内容表示规范; COMPLIANCE.md §1 B1, B4
#   confidence: L2
passed contains "restricted_zones" if {
	input.context.profile.jurisdiction == "CN"
	every item in input.resource.items { restricted_zones_item(item) }
}

# Not applicable under EU law.
passed contains "restricted_zones" if input.context.profile.jurisdiction == "EU"

restricted_zones_item(item) if {
	item.zone_hits_cut == true
	restricted_zones_checked(item)
	restricted_zones_removed(item)
}

restricted_zones_checked(item) if item.zone_check == "tested"

restricted_zones_checked(item) if {
	item.zone_check == "attested"
	item.crs in {"none", "LOCAL"}
}

restricted_zones_removed(item) if {
	count(lib.tags(item) & law_forbidden_site_tags) == 0
}

restricted_zones_removed(item) if lib.removed(item)

facts contains {"rule": "restricted_zones", "fact": fact} if {
	"restricted_zones" in missing
	some item in input.resource.items
	fact := {
		"item": item.id,
		"zone_check": item.zone_check,
		"zone_hits_cut": item.zone_hits_cut,
		"crs": item.crs,
		"tags": item.tags,
		"treatments": item.treatments,
	}
	count({item.id} - restricted_zones_sound) > 0
}

restricted_zones_sound := {entry.id | some entry in input.resource.items; restricted_zones_item(entry)}
