package fleetgate.release

import data.fleetgate.lib

# METADATA
# title: Assessments of the kinds that the law asks for are in force for the purpose, and cover each item by class and level
# description: 用途须有在有效期内的法定评估（个人信息保护影响评估、重要数据提供风险评估或 DPIA），并涵盖每项数据的类别与级别
# custom:
#   number: 5, 32
#   clause: 个人信息保护法 55-56; 网络数据安全管理条例 31; GDPR 35
#   confidence: L2
passed contains "purpose_assessed" if {
	every item in input.resource.items {
		lib.assessed(input.context.assessments, law_impact_kind, item.class, item.level_in, law_impact_levels)
		lib.assessed(input.context.assessments, "provision", item.class, level, law_provision_levels)
	}
}

facts contains {"rule": "purpose_assessed", "fact": {
	"purpose": input.context.purpose,
	"assessments": input.context.assessments,
	"level": level,
	"needed": sort({{"class": item.class, "level_in": item.level_in} | some item in input.resource.items}),
}}
