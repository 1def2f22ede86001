package fleetgate.publish

import data.fleetgate.lib

# METADATA
# title: The level is known and below a state secret
# description: 级别未知或涉密的数据不得发布
# custom:
#   number: 2, 26
#   clause: COMPLIANCE.md §2
#   confidence: own
passed contains "known_level" if {
	lib.rank(input.resource.level, input.context.time) < lib.rank("S4_STATE_SECRET", input.context.time)
	lib.rank(input.resource.source_level, input.context.time) < lib.rank("SX_UNKNOWN", input.context.time)
}

facts.known_level contains {"level": input.resource.level, "source_level": input.resource.source_level}
