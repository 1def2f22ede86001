package fleetgate.release

# METADATA
# title: The area that a recipient holds over all releases stays below that of state secrets
# description: 同一接收方累计覆盖面积达到涉密范围即拒绝
# custom:
#   number: '18'
#   clause: 测绘地理信息管理工作国家秘密范围的规定（2020）
#   confidence: L2
passed contains "cumulative_area" if {
	input.context.profile.jurisdiction == "CN"
	input.context.cumulative.area_km2 >= 0
	input.context.cumulative.area_km2 < law_secret_area_km2
}

# Not applicable under EU law.
passed contains "cumulative_area" if input.context.profile.jurisdiction == "EU"

facts contains {"rule": "cumulative_area", "fact": {"area_km2": input.context.cumulative.area_km2, "limit_km2": law_secret_area_km2}}
