package fleetgate.release

# METADATA
# title: Every item was treated under the pinned profile, its evidence was verified again, and it is not held in quarantine
# description: 每个数据项须经所锁定方案处理，证据已复核，且未被扣留
# custom:
#   number: 4, law 6
#   clause: DESIGN.md §3 laws 1 and 6
#   confidence: own
passed contains "evidence_verified" if {
	every item in input.resource.items {
		item.evidence_verified == true
		item.held == false
		item.profile_digest == input.context.profile.digest
	}
}

facts contains {"rule": "evidence_verified", "fact": fact} if {
	"evidence_verified" in missing
	some item in input.resource.items
	evidence := {"verified": item.evidence_verified, "held": item.held, "profile": item.profile_digest}
	evidence != {"verified": true, "held": false, "profile": input.context.profile.digest}
	fact := object.union(evidence, {"item": item.id})
}
