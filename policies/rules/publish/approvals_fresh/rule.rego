package fleetgate.publish

import data.fleetgate.lib

# METADATA
# title: No approval of this content is older than approvals may be
# description: 批准距发布不得超过规定期限
# custom:
#   number: 5, law 8
#   clause: COMPLIANCE.md §3 rule 5; DESIGN.md §3 law 8
#   confidence: own
passed contains "approvals_fresh" if {
	count(binding_approvals) > 0
	every approval in binding_approvals { lib.at_most_days(approval.signed_at, input.context.time, law_approval_valid_days) }
}

facts contains {"rule": "approvals_fresh", "fact": {"time": input.context.time, "days": law_approval_valid_days}}

facts contains {"rule": "approvals_fresh", "fact": fact} if {
	some approval in binding_approvals
	fact := {"approver": approval.approver, "signed_at": approval.signed_at}
}
