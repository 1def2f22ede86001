package fleetgate.intake

# METADATA
# title: Who delivers the data belongs to the jurisdiction
# description: 境外组织或个人不得提供或接触原始测绘数据
# custom:
#   number: '23'
#   clause: 测绘法 8, 51; 网络数据安全管理条例 37-38
#   confidence: L
passed contains "domestic_subject" if {
	input.subject.nationality in law_home_countries
}

facts contains {"rule": "domestic_subject", "fact": {"nationality": input.subject.nationality, "jurisdiction": input.context.profile.jurisdiction}}
