package fleetgate.release

import data.fleetgate.lib

# METADATA
# title: Nothing is released at the level of a state secret
# description: 涉密数据不得发布
# custom:
#   number: 4, 26
#   clause: 保守国家秘密法; 测绘地理信息管理工作国家秘密范围的规定
#   confidence: L2
passed contains "no_state_secret" if {
	every item in input.resource.items {
		lib.rank(item.level_out, input.context.time) < lib.rank("S4_STATE_SECRET", input.context.time)
	}
}

facts.no_state_secret contains {"item": item.id, "level_out": item.level_out} if {
	some item in input.resource.items
	item.level_out in {"S4_STATE_SECRET", "SX_UNKNOWN"}
}
