package fleetgate.release

import data.fleetgate.lib

# METADATA
# title: Slope and curvature are reviewed by a person, and never go public unreviewed
# description: 坡度与曲率须人工复核，不得直接公开
# custom:
#   number: '15'
#   clause: COMPLIANCE.md §1 B7 (no clause verified)
#   confidence: m
passed contains "slope_reviewed" if {
	input.context.profile.jurisdiction == "CN"
	every item in input.resource.items { count(lib.tags(item) & {"SLOPE_CURV"}) == 0 }
}

passed contains "slope_reviewed" if {
	input.context.profile.jurisdiction == "CN"
	input.context.destination_zone in {"in_zone", "partner"}
	every item in input.resource.items { is_array(item.tags) }
}

# Not applicable under EU law.
passed contains "slope_reviewed" if input.context.profile.jurisdiction == "EU"

obligations contains {"kind": "manual_review", "parameters": {"tag": "SLOPE_CURV", "items": sort(sloped)}} if {
	input.context.profile.jurisdiction == "CN"
	sloped := [item.id | some item in input.resource.items; "SLOPE_CURV" in item.tags]
	count(sloped) > 0
}

facts contains {"rule": "slope_reviewed", "fact": {"item": item.id, "destination_zone": input.context.destination_zone}} if {
	"slope_reviewed" in missing
	some item in input.resource.items
	"SLOPE_CURV" in item.tags
}
