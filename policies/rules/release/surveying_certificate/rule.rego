package fleetgate.release

import data.fleetgate.lib

# METADATA
# title: A surveying certificate is valid now and covers every recording's region
# description: 测绘资质须有效且覆盖每次采集的区域
# custom:
#   number: '7'
#   clause: 测绘法 27, 29, 55-56; 自然资规〔2022〕1号
#   confidence: L
passed contains "surveying_certificate" if {
	input.context.profile.jurisdiction == "CN"
	lib.valid(input.context.certificate)
	every recording in input.resource.recordings {
		lib.covers(input.context.certificate, recording.region)
	}
}

# Not applicable under EU law.
passed contains "surveying_certificate" if input.context.profile.jurisdiction == "EU"

facts contains {"rule": "surveying_certificate", "fact": {
	"certificate": input.context.certificate,
	"regions": [recording.region | some recording in input.resource.recordings],
}}
