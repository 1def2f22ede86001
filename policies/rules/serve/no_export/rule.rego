package fleetgate.serve

# METADATA
# title: Reader, session and network are inside the jurisdiction; a remote read from abroad is an export
# description: 境外人员、会话或网络的读取即为出境，拒绝
# custom:
#   number: '23'
#   clause: 数据出境指南（境外远程查询即出境）; GDPR 44-49
#   confidence: L2
passed contains "no_export" if {
	input.context.network_zone in {"in_zone", "partner"}
	input.subject.nationality in law_home_countries
	input.subject.country_of_session in law_home_countries
}

facts contains {"rule": "no_export", "fact": {
	"nationality": input.subject.nationality,
	"session": input.subject.country_of_session,
	"network_zone": input.context.network_zone,
	"jurisdiction": input.context.profile.jurisdiction,
}}
