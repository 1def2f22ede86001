package fleetgate.release

# METADATA
# title: Every item's output passed a residual scan without a hit
# description: 输出须经残留扫描且无残留
# custom:
#   number: 10, 16
#   clause: DESIGN.md §3 law 1; GB/T 44464-2024 附录
#   confidence: L2
passed contains "residual_clean" if {
	every item in input.resource.items {
		item.residual_scanned == true
		item.residual_hits == 0
	}
}

facts contains {"rule": "residual_clean", "fact": {"item": item.id, "scanned": item.residual_scanned, "hits": item.residual_hits}} if {
	"residual_clean" in missing
	some item in input.resource.items
	[item.residual_scanned, item.residual_hits] != [true, 0]
}
