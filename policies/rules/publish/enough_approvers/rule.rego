package fleetgate.publish

# METADATA
# title: S3 and above has two distinct approvers beside the submitter, anything else one
# description: S3 及以上须两名不同的批准人
# custom:
#   number: 6, law 8
#   clause: COMPLIANCE.md §3 rule 6; DESIGN.md §3 law 8
#   confidence: own
passed contains "enough_approvers" if {
	approvers := {approval.approver | some approval in binding_approvals}
	count(approvers - {input.resource.submitter}) >= approvers_needed
}

facts contains {"rule": "enough_approvers", "fact": {
	"approvers": sort({approval.approver | some approval in binding_approvals}),
	"submitter": input.resource.submitter,
	"needed": approvers_needed,
}}
