package fleetgate.intake

# METADATA
# title: Data at rest is sealed in an admitted suite under keys that the operator holds
# description: 静态数据须以运营方自持密钥加密，套件须在许可清单内
# custom:
#   number: '25'
#   clause: GB/T 39786 第三级; 密码法 27
#   confidence: M
passed contains "sealed_at_rest" if {
	input.context.vault.keys_held_by_operator == true
	input.context.vault.suite in law_suites
}

facts contains {"rule": "sealed_at_rest", "fact": input.context.vault}
