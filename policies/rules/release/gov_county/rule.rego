package fleetgate.release

import data.fleetgate.lib

# METADATA
# title: Geographic and flow data of the surroundings of county-level government and above are not released
# description: 涉及县级以上党政机关等敏感区域的地理与流量数据不得发布
# custom:
#   number: '12'
#   clause: 汽车数据安全管理若干规定（试行）第3条
#   confidence: L
passed contains "gov_county" if {
	input.context.profile.jurisdiction == "CN"
	input.context.gov_county_hit == false
	every item in input.resource.items { count(lib.tags(item) & {"GOV_COUNTY"}) == 0 }
}

passed contains "gov_county" if {
	input.context.profile.jurisdiction == "CN"
	input.context.gov_county_hit == true
	every item in input.resource.items {
		count({item.class} - law_geo_classes) == 1
		count(lib.tags(item) & {"FLOW"}) == 0
		item.position_handling in {"none", "stripped"}
	}
}

# Not applicable under EU law.
passed contains "gov_county" if input.context.profile.jurisdiction == "EU"

facts contains {"rule": "gov_county", "fact": {
	"hit": input.context.gov_county_hit,
	"tagged": [item.id | some item in input.resource.items; "GOV_COUNTY" in item.tags],
}}
