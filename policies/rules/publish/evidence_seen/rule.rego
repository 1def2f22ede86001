package fleetgate.publish

# METADATA
# title: Every approver opened the evidence of this very content before signing
# description: 批准人签名前须已查看本内容的证据
# custom:
#   number: 5, law 8
#   clause: COMPLIANCE.md §3 rule 5; DESIGN.md §3 law 8
#   confidence: own
passed contains "evidence_seen" if {
	count(binding_approvals) > 0
	every approval in binding_approvals { approval.evidence_seen == true }
}

facts contains {"rule": "evidence_seen", "fact": {"seen_by": seen}} if {
	seen := {approval.approver | some approval in binding_approvals; approval.evidence_seen == true}
}

facts contains {"rule": "evidence_seen", "fact": {"unseen_by": approval.approver}} if {
	some approval in binding_approvals
	approval.evidence_seen == false
}
