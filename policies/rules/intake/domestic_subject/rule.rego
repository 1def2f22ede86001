package fleetgate.intake

import data.fleetgate.lib

# METADATA
# title: Who delivers the data belongs to the jurisdiction
# description: 境外组织或个人不得提供或接触原始测绘数据
# custom:
#   number: '23'
#   clause: 测绘法 8, 51; 网络数据安全管理条例 37-38
#   confidence: L
passed contains "domestic_subject" if {
	lib.at_home(input.subject.nationality, input.context.profile.jurisdiction, input.context.time)
}

facts.domestic_subject contains {"nationality": input.subject.nationality, "jurisdiction": input.context.profile.jurisdiction}
