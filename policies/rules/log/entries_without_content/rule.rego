package fleetgate.log

# METADATA
# title: Entries of the ledger hold pseudonymous ids, digests and words of closed vocabularies only, never content
# description: 日志条目仅含假名标识、摘要与封闭词汇，不含内容
# custom:
#   number: '28'
#   clause: COMPLIANCE.md §3 rule 28; 个人信息保护法 6; GDPR 5(1)(c)
#   confidence: own
passed contains "entries_without_content" if {
	count(input.resource.fields) > 0
	every field in input.resource.fields {
		law_entry_fields[field.name] == field.kind
	}
}

facts contains {"rule": "entries_without_content", "fact": {"field": field}} if some field in input.resource.fields
