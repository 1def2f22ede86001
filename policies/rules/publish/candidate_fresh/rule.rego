package fleetgate.publish

import data.fleetgate.lib

# METADATA
# title: The candidate was built no longer ago than candidates may wait
# description: 发布候选自生成之日起不得超过规定期限
# custom:
#   number: '5'
#   clause: COMPLIANCE.md §3 rule 5
#   confidence: own
passed contains "candidate_fresh" if {
	lib.not_after(input.resource.built_at, input.context.time)
	lib.at_most_days(input.resource.built_at, input.context.time, law_candidate_valid_days)
}

facts contains {"rule": "candidate_fresh", "fact": {
	"built_at": input.resource.built_at,
	"time": input.context.time,
	"days": law_candidate_valid_days,
}}
