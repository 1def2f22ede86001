package fleetgate.intake

# METADATA
# title: A recording declares at least one item and at least one class
# description: 清单为空的采集一律拒收
# custom:
#   number: law 5
#   clause: DESIGN.md §3 law 5
#   confidence: own
passed contains "items_declared" if {
	is_number(input.resource.item_count)
	input.resource.item_count > 0
	count(input.resource.classes_declared) > 0
}

facts contains {"rule": "items_declared", "fact": {"item_count": input.resource.item_count, "classes": input.resource.classes_declared}}
