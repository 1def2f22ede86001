package fleetgate.intake

import data.fleetgate.lib

# METADATA
# title: A surveying certificate is valid now and covers the recording's kind, region and period
# description: 测绘资质须有效，且覆盖采集的种类、区域与时段
# custom:
#   number: '7'
#   clause: 测绘法 27, 29, 55-56; 自然资规〔2022〕1号
#   confidence: L
passed contains "surveying_certificate" if {
	input.context.profile.jurisdiction == "CN"
	lib.valid(input.context.certificate)
	lib.covers(input.context.certificate, input.resource.region)
	lib.not_after(input.context.certificate.valid_from, input.resource.started_at)
	lib.before(input.resource.ended_at, input.context.certificate.valid_to)
}

# Not applicable under EU law.
passed contains "surveying_certificate" if input.context.profile.jurisdiction == "EU"

facts contains {"rule": "surveying_certificate", "fact": {
	"certificate": input.context.certificate,
	"region": input.resource.region,
	"started_at": input.resource.started_at,
	"ended_at": input.resource.ended_at,
}}
