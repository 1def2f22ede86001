package fleetgate.release

# METADATA
# title: What goes public carries a valid map approval number and is public or processed
# description: 公开输出须有有效审图号且已脱敏
# custom:
#   number: '24'
#   clause: 地图管理条例 15-17
#   confidence: L
passed contains "public_map_number" if {
	input.context.profile.jurisdiction == "CN"
	input.context.destination_zone in {"in_zone", "partner", "foreign"}
}

passed contains "public_map_number" if {
	input.context.profile.jurisdiction == "CN"
	input.context.destination_zone == "public"
	is_string(input.context.map_number)
	regex.match(law_map_number_pattern, input.context.map_number)
	every item in input.resource.items { item.level_out in {"S0_PUBLIC", "S1_PROCESSED"} }
}

# Not applicable under EU law.
passed contains "public_map_number" if input.context.profile.jurisdiction == "EU"

facts contains {"rule": "public_map_number", "fact": {
	"map_number": input.context.map_number,
	"levels": {item.level_out | some item in input.resource.items},
}}
