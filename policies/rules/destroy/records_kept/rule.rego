package fleetgate.destroy

import data.fleetgate.lib

# METADATA
# title: What proves access, provision or an assessment outlives its term, and records of secret geographic data stay for good
# description: 保存期限届满前不得销毁访问日志、提供与评估记录；涉密测绘成果记录永久保存
# custom:
#   number: '29'
#   clause: 网络安全法 23(3); 网络数据安全管理条例 12; 个人信息保护法 56; 测绘法 47, 65
#   confidence: L
passed contains "records_kept" if {
	input.resource.seals in {"release", "detail"}
	count(input.resource.records) > 0
	every record in input.resource.records {
		records_kept_over(record)
	}
}

# Erasure and expiry do not wait: such a key seals content, and no record of who had it (law 9).
passed contains "records_kept" if {
	input.resource.seals in {"recording", "originals"}
	input.resource.records == []
}

records_kept_over(record) if lib.at_least_years(record.ended_at, input.context.time, law_record_years[record.kind])

records_kept_over(record) if lib.at_least_days(record.ended_at, input.context.time, law_record_days[record.kind])

facts contains {"rule": "records_kept", "fact": {
	"seals": input.resource.seals,
	"records": input.resource.records,
	"time": input.context.time,
}}
