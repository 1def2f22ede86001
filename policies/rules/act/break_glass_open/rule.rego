package fleetgate.act

import data.fleetgate.lib

# METADATA
# title: Break-glass is approved and used within its period only, and not once it was ended
# description: 紧急访问须在其时段内且未被提前终止
# custom:
#   number: '30'
#   clause: COMPLIANCE.md §3 rule 30
#   confidence: own
passed contains "break_glass_open" if count({input.action.name} & law_break_glass_timed_acts) == 0

passed contains "break_glass_open" if {
	input.context.break_glass.ended == false
	lib.within(input.context.time, input.context.break_glass.not_before, input.context.break_glass.not_after)
}

facts contains {"rule": "break_glass_open", "fact": {
	"time": input.context.time,
	"break_glass": input.context.break_glass,
}}
