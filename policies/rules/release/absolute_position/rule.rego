package fleetgate.release

import data.fleetgate.lib

# METADATA
# title: An absolute position needs a recognised processor's identifier or a keyed offset within its limits; local frames hold none
# description: 绝对坐标须经国家认定技术处理或按方案要求密钥偏移
# custom:
#   number: '8'
#   clause: 自然资发〔2024〕139号; 公开地图内容表示若干规定
#   confidence: L2
passed contains "absolute_position" if input.resource.mode == "LOCAL"

passed contains "absolute_position" if {
	input.resource.mode == "OFFSET"
	is_number(input.resource.offset.min_shift_m)
	is_number(input.resource.offset.max_distance_error)
	input.resource.offset.min_shift_m >= law_offset_min_shift_m
	input.resource.offset.max_distance_error <= law_offset_max_distance_error
}

passed contains "absolute_position" if {
	input.resource.mode == "APPROVED"
	lib.stated(input.resource.secrecy_tech_id)
}

obligations contains {"kind": "clip_length", "parameters": {"max_m": law_local_clip_max_m}} if {
	input.resource.mode == "LOCAL"
}

facts contains {"rule": "absolute_position", "fact": {
	"mode": input.resource.mode,
	"offset": input.resource.offset,
	"secrecy_tech_id": input.resource.secrecy_tech_id,
}}
