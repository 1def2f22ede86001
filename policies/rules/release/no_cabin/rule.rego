package fleetgate.release

# METADATA
# title: Cabin data and audio are never released
# description: 座舱数据与音频不得发布
# custom:
#   number: '20'
#   clause: 汽车数据安全管理若干规定（试行）第6条
#   confidence: L2
passed contains "no_cabin" if {
	every item in input.resource.items { count({item.class} - law_cabin_classes) == 1 }
}

facts contains {"rule": "no_cabin", "fact": {"item": item.id, "class": item.class}} if {
	"no_cabin" in missing
	some item in input.resource.items
	item.class in law_cabin_classes
}
