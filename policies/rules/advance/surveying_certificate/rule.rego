package fleetgate.advance

import data.fleetgate.lib

# METADATA
# title: A surveying certificate is valid now and covers the recording by kind, grade, region and period, and the unit that collected holds it or delegated to its holder
# description: 测绘资质须有效且未被暂停或吊销，种类、等级、区域与时段均覆盖本次采集；采集单位须自行持证或已委托持证单位
# custom:
#   number: '7'
#   clause: 测绘法 27, 29, 55-56; 测绘资质管理办法; 自然资规〔2022〕1号
#   confidence: L
passed contains "surveying_certificate" if {
	input.context.profile.jurisdiction == "CN"
	lib.valid(input.context.certificate)
	lib.licensed(input.context.certificate, input.resource)
}

# Not applicable under EU law.
passed contains "surveying_certificate" if input.context.profile.jurisdiction == "EU"

facts contains {"rule": "surveying_certificate", "fact": {
	"certificate": input.context.certificate,
	"delegations": input.context.delegations,
	"unit": input.resource.unit,
	"vehicle": input.resource.vehicle,
	"region": input.resource.region,
	"started_at": input.resource.started_at,
	"ended_at": input.resource.ended_at,
}}
