package fleetgate.intake

# METADATA
# title: Data comes from an enrolled vehicle with a signed manifest, or on a registered carrier checked in by a compliance officer
# description: 仅接收已注册车辆签名上传的数据，或经合规官登记入库的载体
# custom:
#   number: '3'
#   clause: 自然资发〔2024〕139号
#   confidence: L2
passed contains "known_source" if {
	input.resource.source == "vehicle"
	input.subject.kind == "vehicle"
	"vehicle" in input.subject.roles
	input.subject.enrolled == true
	input.resource.manifest_signed == true
}

passed contains "known_source" if {
	input.resource.source == "carrier"
	input.subject.kind == "person"
	count({"operator", "compliance_officer"} & {role | some role in input.subject.roles}) > 0
	input.resource.carrier_registered == true
	input.resource.carrier_checked_in_by_role == "compliance_officer"
}

facts contains {"rule": "known_source", "fact": {
	"source": input.resource.source,
	"subject_kind": input.subject.kind,
	"enrolled": input.subject.enrolled,
	"manifest_signed": input.resource.manifest_signed,
	"carrier_registered": input.resource.carrier_registered,
	"checked_in_by": input.resource.carrier_checked_in_by_role,
}}
