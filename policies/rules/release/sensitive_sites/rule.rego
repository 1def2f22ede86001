package fleetgate.release

import data.fleetgate.lib

# METADATA
# title: Hazardous, energy, water and special rail or road sites are masked and their attributes deleted
# description: 危化、能源、水利、专用路轨须遮盖并删除属性
# custom:
#   number: '13'
#   clause: GB 20263 §6; COMPLIANCE.md §1 B4
#   confidence: M
passed contains "sensitive_sites" if {
	input.context.profile.jurisdiction == "CN"
	every item in input.resource.items { sensitive_sites_item(item) }
}

# Not applicable under EU law.
passed contains "sensitive_sites" if input.context.profile.jurisdiction == "EU"

sensitive_sites_item(item) if count(lib.tags(item) & law_sensitive_site_tags) == 0

sensitive_sites_item(item) if {
	lib.masked(item)
	item.sign_attributes_nulled == true
}

facts contains {"rule": "sensitive_sites", "fact": fact} if {
	"sensitive_sites" in missing
	some item in input.resource.items
	found := lib.tags(item) & law_sensitive_site_tags
	count(found) > 0
	fact := {
		"item": item.id,
		"tags": sort(found),
		"treatments": item.treatments,
		"attributes_nulled": item.sign_attributes_nulled,
	}
}
