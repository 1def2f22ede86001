package fleetgate.act

import data.fleetgate.lib

# METADATA
# title: 'The raw zone is read under break-glass only: asked for by the reader, approved by another, for this act and object'
# description: 接触原始数据须经紧急访问：本人申请、另一人批准、限于所列行为与对象
# custom:
#   number: 30, law 8
#   clause: COMPLIANCE.md §3 rule 30; DESIGN.md §3 law 8
#   confidence: own
passed contains "break_glass_approved" if count({input.action.name} & law_raw_acts) == 0

passed contains "break_glass_approved" if {
	input.context.break_glass.act == input.action.name
	input.resource.id in input.context.break_glass.objects
	input.context.break_glass.requested_by == input.subject.id
	lib.stated(input.context.break_glass.approved_by)
	input.context.break_glass.approved_by != input.subject.id
}

facts contains {"rule": "break_glass_approved", "fact": {
	"subject": input.subject.id,
	"act": input.action.name,
	"object": input.resource.id,
	"break_glass": input.context.break_glass,
}}
