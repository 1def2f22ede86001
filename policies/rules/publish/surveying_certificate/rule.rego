package fleetgate.publish

import data.fleetgate.lib

# METADATA
# title: The surveying certificate is still valid when the release is published, and still covers every recording
# description: 发布时测绘资质须仍有效，且仍覆盖每次采集
# custom:
#   number: '7'
#   clause: 测绘法 27, 29, 55-56; 测绘资质管理办法; 自然资规〔2022〕1号
#   confidence: L
passed contains "surveying_certificate" if {
	input.context.profile.jurisdiction == "CN"
	lib.valid(input.context.certificate)
	count(input.resource.recordings) > 0
	every recording in input.resource.recordings {
		lib.licensed(input.context.certificate, recording)
	}
}

# Not applicable under EU law.
passed contains "surveying_certificate" if input.context.profile.jurisdiction == "EU"

facts contains {"rule": "surveying_certificate", "fact": {
	"certificate": input.context.certificate,
	"delegations": input.context.delegations,
	"recordings": input.resource.recordings,
	"time": input.context.time,
}}
