package fleetgate.release

# METADATA
# title: All positions of a release are in the one context of its mode, and none is raw
# description: 同一发布内所有位置须在同一偏移语境中处理，不得残留原始位置
# custom:
#   number: '10'
#   clause: DESIGN.md §4 Coordinates; COMPLIANCE.md §5
#   confidence: own
passed contains "one_position_context" if {
	handled := {"LOCAL": "local", "OFFSET": "offset", "APPROVED": "approved"}[input.resource.mode]
	every item in input.resource.items { item.position_handling in {"none", "stripped", handled} }
}

facts.one_position_context contains fact if {
	some item in input.resource.items
	handled := {"LOCAL": "local", "OFFSET": "offset", "APPROVED": "approved"}[input.resource.mode]
	count({item.position_handling} - {"none", "stripped", handled}) > 0
	fact := {"item": item.id, "position_handling": item.position_handling, "mode": input.resource.mode}
}
