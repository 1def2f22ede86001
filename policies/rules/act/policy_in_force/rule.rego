package fleetgate.act

import data.fleetgate.lib

# METADATA
# title: A signed policy version is in force, and it is the one that judges; only to replace one that is over takes none
# description: 须有已签名且在有效期内的策略版本，且即本次判定所用版本；仅换装策略本身除外
# custom:
#   number: '1'
#   clause: COMPLIANCE.md §3 rule 1; STYLE habit 4
#   confidence: own
passed contains "policy_in_force" if lib.in_force(input.context.policy, input.context.time)

passed contains "policy_in_force" if {
	input.action.name in lib.members(data.law.acts.policy_repair_acts)
	input.context.policy.digest == data.fleetgate_bundle.digest
}

facts contains {"rule": "policy_in_force", "fact": {
	"time": input.context.time,
	"policy": input.context.policy,
	"bundle": data.fleetgate_bundle.digest,
}}
