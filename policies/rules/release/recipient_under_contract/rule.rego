package fleetgate.release

import data.fleetgate.lib

# METADATA
# title: A contract with the recipient is in force and covers the purpose, and its supervision is recent and left nothing open
# description: 与接收方的合同须在有效期内并涵盖用途；对其监督检查须未逾期且无未整改问题
# custom:
#   number: '5'
#   clause: 网络数据安全管理条例 12
#   confidence: L
passed contains "recipient_under_contract" if {
	input.context.recipient.registered == true
	count(lib.in_force_for(input.context.recipient.contracts, input.context.purpose)) > 0
	lib.stated(input.context.recipient.supervision.last)
	lib.not_after(input.context.recipient.supervision.last, input.context.time)
	lib.at_most_days(input.context.recipient.supervision.last, input.context.time, law_supervision_days)
	input.context.recipient.supervision.open_findings == 0
}

facts contains {"rule": "recipient_under_contract", "fact": {
	"recipient": input.context.recipient,
	"purpose": input.context.purpose,
	"time": input.context.time,
}}

facts contains {"rule": "recipient_under_contract", "fact": {"supervision_days": law_supervision_days}}
