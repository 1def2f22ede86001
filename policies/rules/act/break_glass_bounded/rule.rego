package fleetgate.act

import data.fleetgate.lib

# METADATA
# title: Break-glass is for one kind of act on few named objects, and no longer than the limit
# description: 紧急访问须限定一类行为、具名对象，且时长不超过上限
# custom:
#   number: '30'
#   clause: COMPLIANCE.md §3 rule 30; GB/T 22239-2019 8.1.4.2 d)
#   confidence: own
passed contains "break_glass_bounded" if count({input.action.name} & law_break_glass_acts) == 0

passed contains "break_glass_bounded" if {
	input.context.break_glass.act in law_raw_acts
	count(input.context.break_glass.objects) > 0
	count(input.context.break_glass.objects) <= lib.value(data.law.acts.break_glass_most_objects)
	break_glass_bounded_ns > 0
	break_glass_bounded_ns <= time.parse_duration_ns(lib.value(data.law.acts.break_glass_longest))
}

break_glass_bounded_ns := time.parse_rfc3339_ns(input.context.break_glass.not_after) - time.parse_rfc3339_ns(input.context.break_glass.not_before)

facts contains {"rule": "break_glass_bounded", "fact": {
	"act": input.action.name,
	"break_glass": input.context.break_glass,
	"longest": lib.value(data.law.acts.break_glass_longest),
}}
