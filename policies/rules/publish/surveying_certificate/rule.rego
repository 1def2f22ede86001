package fleetgate.publish

import data.fleetgate.lib

# METADATA
# title: The surveying certificate is still valid when the release is published
# description: 发布时测绘资质须仍有效
# custom:
#   number: '7'
#   clause: 测绘法 27, 29, 55-56
#   confidence: L
passed contains "surveying_certificate" if {
	input.context.profile.jurisdiction == "CN"
	lib.valid(input.context.certificate)
}

# Not applicable under EU law.
passed contains "surveying_certificate" if input.context.profile.jurisdiction == "EU"

facts contains {"rule": "surveying_certificate", "fact": {"certificate": input.context.certificate, "time": input.context.time}}
