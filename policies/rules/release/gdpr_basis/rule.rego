package fleetgate.release

import data.fleetgate.lib

# METADATA
# title: Under the GDPR profile positions are local, never offset, and purpose and impact assessment are on record
# description: GDPR 方案：不使用偏移，须有用途与影响评估编号
# custom:
#   number: '32'
#   clause: GDPR 5, 25, 35
#   confidence: M
passed contains "gdpr_basis" if {
	input.context.profile.jurisdiction == "EU"
	input.resource.mode == "LOCAL"
	input.resource.offset == null
	lib.stated(input.context.purpose)
	lib.stated(input.context.dpia_reference)
}

# Not applicable under Chinese law.
passed contains "gdpr_basis" if input.context.profile.jurisdiction == "CN"

facts contains {"rule": "gdpr_basis", "fact": {
	"mode": input.resource.mode,
	"offset": input.resource.offset,
	"purpose": input.context.purpose,
	"dpia_reference": input.context.dpia_reference,
}}
