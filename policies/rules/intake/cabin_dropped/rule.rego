package fleetgate.intake

# METADATA
# title: 'Cabin data and audio are not collected: they are dropped at intake, and a recording of nothing else is refused'
# description: 座舱数据与音频不收集，入口处丢弃
# custom:
#   number: '20'
#   clause: 汽车数据安全管理若干规定（试行）第6条
#   confidence: L2
passed contains "cabin_dropped" if count(declared_classes - law_cabin_classes) > 0

obligations contains {"kind": "drop_classes", "parameters": {"classes": sort(dropped)}} if {
	dropped := declared_classes & law_cabin_classes
	count(dropped) > 0
}

facts contains {"rule": "cabin_dropped", "fact": {"classes": input.resource.classes_declared}}
