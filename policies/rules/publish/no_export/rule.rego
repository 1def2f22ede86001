package fleetgate.publish

# METADATA
# title: Who publishes, and their entity, are inside the jurisdiction
# description: 发布人及其单位须在境内
# custom:
#   number: '23'
#   clause: 测绘法 8, 51; 网络数据安全管理条例 37-38
#   confidence: L
passed contains "no_export" if {
	input.subject.nationality in law_home_countries
	input.subject.entity_country in law_home_countries
}

facts contains {"rule": "no_export", "fact": {
	"nationality": input.subject.nationality,
	"entity_country": input.subject.entity_country,
	"jurisdiction": input.context.profile.jurisdiction,
}}
