package fleetgate.release

# METADATA
# title: Submitter, their entity, recipient and destination are inside the jurisdiction; anything else is an export
# description: 向境外地址、人员或实体提供即为出境，拒绝
# custom:
#   number: '23'
#   clause: 网络数据安全管理条例 37-38; 数据出境指南; GDPR 44-49
#   confidence: L2
passed contains "no_export" if {
	input.context.destination_zone in {"in_zone", "partner", "public"}
	input.subject.nationality in law_home_countries
	input.subject.entity_country in law_home_countries
	input.context.recipient.country in law_home_countries
}

obligations contains {"kind": "in_zone_only", "parameters": {"zone": "in_zone"}} if {
	input.context.destination_zone == "in_zone"
}

facts contains {"rule": "no_export", "fact": {
	"nationality": input.subject.nationality,
	"entity_country": input.subject.entity_country,
	"recipient_country": input.context.recipient.country,
	"destination_zone": input.context.destination_zone,
	"jurisdiction": input.context.profile.jurisdiction,
}}
