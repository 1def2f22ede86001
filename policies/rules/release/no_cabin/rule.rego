package fleetgate.release

import data.fleetgate.lib

# METADATA
# title: Cabin data and audio are never released
# description: 座舱数据与音频不得发布
# custom:
#   number: '20'
#   clause: 汽车数据安全管理若干规定（试行）第6条
#   confidence: L2
passed contains "no_cabin" if {
	cabin := lib.members(data.law.taxonomy.cabin_classes, input.context.time)
	every item in input.resource.items { count({item.class} - cabin) == 1 }
}

facts.no_cabin contains {"item": item.id, "class": item.class} if {
	some item in input.resource.items
	item.class in lib.law(data.law.taxonomy.cabin_classes, input.context.time)
}
