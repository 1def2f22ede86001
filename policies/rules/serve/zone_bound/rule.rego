package fleetgate.serve

# METADATA
# title: A release for the compliance zone is read inside it, one for partners or the public there or at a partner's
# description: 仅限合规区内的发布只可在合规区内读取
# custom:
#   number: '23'
#   clause: 自然资发〔2024〕139号; COMPLIANCE.md §1 A7, A11
#   confidence: L2
passed contains "zone_bound" if {
	input.context.release.destination_zone == "in_zone"
	input.context.network_zone == "in_zone"
}

passed contains "zone_bound" if {
	input.context.release.destination_zone in {"partner", "public"}
	input.context.network_zone in {"in_zone", "partner"}
}

facts contains {"rule": "zone_bound", "fact": {
	"destination_zone": input.context.release.destination_zone,
	"network_zone": input.context.network_zone,
}}
