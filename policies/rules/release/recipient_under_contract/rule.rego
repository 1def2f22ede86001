package fleetgate.release

# METADATA
# title: The recipient is registered and bound by a contract
# description: 接收方须已登记并签有合同
# custom:
#   number: '5'
#   clause: 网络数据安全管理条例 12
#   confidence: L
passed contains "recipient_under_contract" if {
	input.context.recipient.registered == true
	input.context.recipient.contract == true
}

facts contains {"rule": "recipient_under_contract", "fact": input.context.recipient}
