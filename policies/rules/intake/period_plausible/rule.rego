package fleetgate.intake

import data.fleetgate.lib

# METADATA
# title: The recording starts before it ends and does not end in the future
# description: 采集时段须先后有序且不在未来
# custom:
#   number: law 5
#   clause: DESIGN.md §3 law 5 (clock)
#   confidence: own
passed contains "period_plausible" if {
	lib.not_after(input.resource.started_at, input.resource.ended_at)
	lib.not_after(input.resource.ended_at, input.context.time)
}

facts contains {"rule": "period_plausible", "fact": {
	"started_at": input.resource.started_at,
	"ended_at": input.resource.ended_at,
	"time": input.context.time,
}}
