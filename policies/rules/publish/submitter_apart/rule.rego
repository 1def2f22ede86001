package fleetgate.publish

import data.fleetgate.lib

# METADATA
# title: The submitter approves nothing of their own
# description: 提交人不得批准自己的发布
# custom:
#   number: '6'
#   clause: COMPLIANCE.md §3 rule 6; DESIGN.md §3 law 8
#   confidence: own
passed contains "submitter_apart" if {
	lib.stated(input.resource.submitter)
	every approval in input.context.approvals { approval.approver != input.resource.submitter }
}

facts contains {"rule": "submitter_apart", "fact": {"submitter": input.resource.submitter}}
