package fleetgate.destroy

import data.fleetgate.lib

# METADATA
# title: Originals are deleted once their term after leaving the vehicle is over and nobody attested a longer one
# description: 未经确认保留的原始数据自离车起满十四日方到期删除
# custom:
#   number: '21'
#   clause: TC260-001（2021）; COMPLIANCE.md §1 C8
#   confidence: m
passed contains "originals_expired" if {
	input.resource.seals == "originals"
	is_string(input.resource.received_at)
	lib.at_least_days(input.resource.received_at, input.context.time, law_raw_days)
	originals_expired_attestation
}

# Keys have terms of their own.
passed contains "originals_expired" if input.resource.seals in {"recording", "release", "detail", "gate"}

originals_expired_attestation if input.resource.attested_until == null

originals_expired_attestation if {
	is_string(input.resource.attested_until)
	lib.before(input.resource.attested_until, input.context.time)
}

facts contains {"rule": "originals_expired", "fact": {
	"received_at": input.resource.received_at,
	"attested_until": input.resource.attested_until,
	"time": input.context.time,
	"days": law_raw_days,
}}
