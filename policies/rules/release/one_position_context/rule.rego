package fleetgate.release

# METADATA
# title: All positions of a release are in the one context of its mode, and none is raw
# description: 同一发布内所有位置须在同一偏移语境中处理，不得残留原始位置
# custom:
#   number: '10'
#   clause: DESIGN.md §4 Coordinates; COMPLIANCE.md §5
#   confidence: own
passed contains "one_position_context" if {
	every item in input.resource.items { item.position_handling in one_position_context_of[input.resource.mode] }
}

one_position_context_of := {
	"LOCAL": {"none", "stripped", "local"},
	"OFFSET": {"none", "stripped", "offset"},
	"APPROVED": {"none", "stripped", "approved"},
}

facts contains {"rule": "one_position_context", "fact": fact} if {
	"one_position_context" in missing
	some item in input.resource.items
	count({item.position_handling} - one_position_context_of[input.resource.mode]) > 0
	fact := {"item": item.id, "position_handling": item.position_handling, "mode": input.resource.mode}
}
