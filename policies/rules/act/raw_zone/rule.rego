package fleetgate.act

# METADATA
# title: The raw zone is open only to persons in the operator's role, inside the compliance zone's network
# description: 原始数据区仅限持证运营方境内人员在合规区网络内接触
# custom:
#   number: '4'
#   clause: 自然资发〔2024〕139号; COMPLIANCE.md §3 rule 4
#   confidence: L2
passed contains "raw_zone" if count({input.action.name} & law_raw_acts) == 0

passed contains "raw_zone" if {
	"operator" in input.subject.roles
	input.context.network_zone == "in_zone"
}

facts contains {"rule": "raw_zone", "fact": {
	"act": input.action.name,
	"roles": input.subject.roles,
	"network_zone": input.context.network_zone,
}}
