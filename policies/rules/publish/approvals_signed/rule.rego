package fleetgate.publish

import data.fleetgate.lib

# METADATA
# title: Every approval of this content is a verified signature of a licensed operator, given before now
# description: 每份批准须为持证运营方人员对本内容的有效签名
# custom:
#   number: 5, law 8
#   clause: COMPLIANCE.md §3 rule 5; DESIGN.md §3 law 8
#   confidence: own
passed contains "approvals_signed" if {
	count(binding_approvals) > 0
	every approval in binding_approvals {
		lib.stated(approval.approver)
		approval.signature_verified == true
		approval.licence_valid == true
		"operator" in approval.roles
		lib.not_after(approval.signed_at, input.context.time)
	}
}

facts contains {"rule": "approvals_signed", "fact": fact} if {
	"approvals_signed" in missing
	some approval in input.context.approvals
	fact := {
		"approver": approval.approver,
		"for_this_content": approval.digest == input.resource.digest,
		"signature_verified": approval.signature_verified,
		"licence_valid": approval.licence_valid,
		"roles": approval.roles,
		"signed_at": approval.signed_at,
	}
}

facts contains {"rule": "approvals_signed", "fact": {"approvals_of_this_content": count(binding_approvals)}}
