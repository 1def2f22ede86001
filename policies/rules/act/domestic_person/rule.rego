package fleetgate.act

# METADATA
# title: The person's nationality, entity and session are inside the jurisdiction; an act from abroad is an export
# description: 行为人的国籍、所属单位及会话均须在境内；境外人员的任何操作即为出境，拒绝
# custom:
#   number: '23'
#   clause: 测绘法 8, 51; 数据出境指南（境外远程查询即出境）; GDPR 44-49
#   confidence: L2
passed contains "domestic_person" if {
	input.subject.nationality in law_home_countries
	input.subject.entity_country in law_home_countries
	input.context.country_of_session in law_home_countries
}

facts contains {"rule": "domestic_person", "fact": {
	"nationality": input.subject.nationality,
	"entity_country": input.subject.entity_country,
	"session": input.context.country_of_session,
	"jurisdiction": input.context.profile.jurisdiction,
}}
