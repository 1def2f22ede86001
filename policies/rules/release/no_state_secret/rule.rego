package fleetgate.release

# METADATA
# title: Nothing is released at the level of a state secret
# description: 涉密数据不得发布
# custom:
#   number: 4, 26
#   clause: 保守国家秘密法; 测绘地理信息管理工作国家秘密范围的规定
#   confidence: L2
passed contains "no_state_secret" if {
	every item in input.resource.items {
		law_level_rank[item.level_out] < law_level_rank.S4_STATE_SECRET
	}
}

facts contains {"rule": "no_state_secret", "fact": {"item": item.id, "level_out": item.level_out}} if {
	"no_state_secret" in missing
	some item in input.resource.items
	item.level_out in {"S4_STATE_SECRET", "SX_UNKNOWN"}
}
