package fleetgate.publish

# METADATA
# title: The level is known and below a state secret
# description: 级别未知或涉密的数据不得发布
# custom:
#   number: 2, 26
#   clause: COMPLIANCE.md §2
#   confidence: own
passed contains "known_level" if {
	law_level_rank[input.resource.level] < law_level_rank.S4_STATE_SECRET
	law_level_rank[input.resource.source_level] < law_level_rank.SX_UNKNOWN
}

facts contains {"rule": "known_level", "fact": {"level": input.resource.level, "source_level": input.resource.source_level}}
