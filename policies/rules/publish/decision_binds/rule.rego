package fleetgate.publish

# METADATA
# title: What is published is what was judged, allowed, and judged by the policy bundle that is in force
# description: 所发布内容须与判定通过并签署者逐位一致，且判定所用策略仍在用
# custom:
#   number: 5, law 6
#   clause: DESIGN.md §3 laws 1 and 6
#   confidence: own
passed contains "decision_binds" if {
	input.context.decision.allowed == true
	input.context.decision.bundle_digest == data.fleetgate_bundle.digest
	input.context.decision.release_digest == input.resource.digest
	input.resource.judged_digest == input.resource.digest
}

facts contains {"rule": "decision_binds", "fact": {
	"digest": input.resource.digest,
	"judged_digest": input.resource.judged_digest,
	"decision": input.context.decision,
}}
