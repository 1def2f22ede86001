package fleetgate.advance

import data.fleetgate.lib

# METADATA
# title: A signed policy version is in force, and it is the one that judges
# description: 须有已签名且在有效期内的策略版本，且即本次判定所用版本
# custom:
#   number: '1'
#   clause: COMPLIANCE.md §3 rule 1; STYLE habit 4
#   confidence: own
passed contains "policy_in_force" if lib.in_force(input.context.policy, input.context.time)

facts contains {"rule": "policy_in_force", "fact": {
	"time": input.context.time,
	"policy": input.context.policy,
	"bundle": data.fleetgate_bundle.digest,
}}
