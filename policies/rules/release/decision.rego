package fleetgate.release

import data.fleetgate.lib

default allow := false

allow if {
	count(required) > 0
	count(missing) == 0
}

required := object.keys(data.catalogue.release)

missing := required - passed

violations := [violation |
	some rule in sort(missing)
	violation := {"rule": rule, "facts": {entry.fact | some entry in facts; entry.rule == rule}}
]

# METADATA
# title: Decision at release
# description: Fail-closed - allowed only if every rule of the catalogue contributed to passed.
# entrypoint: true
decision := {
	"allow": allow,
	"required": required,
	"passed": passed,
	"violations": violations,
	"obligations": obligations,
	"level": level,
	"bundle": data.fleetgate_bundle.digest,
}

default level := "SX_UNKNOWN"

level := lib.highest(levels, law_level_rank) if {
	count(input.resource.items) > 0
	levels := {item.level_out | some item in input.resource.items} | subjects_level
}

subjects_total := input.resource.counts.subjects + input.context.cumulative.subjects

subjects_level := {"S0_PUBLIC"} if {
	subjects_total < law_important_data_subjects
}

subjects_level := {"S3_IMPORTANT"} if {
	subjects_total >= law_important_data_subjects
}

obligations contains {"kind": "approvals", "parameters": {"count": count_needed}} if {
	levels := {item.level_in | some item in input.resource.items} | {level}
	count_needed := lib.approvers(lib.highest(levels, law_level_rank), law_level_rank)
}

obligations contains {"kind": "thin_points", "parameters": parameters} if {
	input.context.profile.jurisdiction == "CN"
	some item in input.resource.items
	item.class in law_thinned_classes
	parameters := {"classes": sort(law_thinned_classes), "keep_every": law_point_keep_every}
}

obligations contains {"kind": "watermark", "parameters": parameters} if {
	input.context.purpose in law_watermarked_purposes
	marked := {item.class | some item in input.resource.items; item.class in law_imagery_classes}
	count(marked) > 0
	parameters := {"classes": sort(marked), "clause": data.law.treatment.watermarked_purposes.source}
}

obligations contains {"kind": "retain_record", "parameters": {"years": years}} if {
	years := law_provision_record_years
}

obligations contains {"kind": "show_unverified", "parameters": {"what": what}} if {
	what := sort(unverified)
	count(what) > 0
}

unverified contains "certificate" if input.context.certificate.unverified == true

unverified contains "recipients.supervision_days" if {
	lib.stated(input.context.recipient.supervision.last)
	data.law.recipients.supervision_days.confidence == "m"
}

unverified contains "surveying.grade_region_digits" if {
	input.context.profile.jurisdiction == "CN"
	input.context.certificate.grade == "B"
	data.law.surveying.grade_region_digits.confidence == "m"
}

unverified contains "position.offset_min_shift_m" if {
	input.resource.mode == "OFFSET"
	data.law.position.offset_min_shift_m.confidence == "m"
}

unverified contains "treatment.point_keep_every" if {
	input.context.profile.jurisdiction == "CN"
	some item in input.resource.items
	item.class in law_thinned_classes
	data.law.treatment.point_keep_every.confidence == "m"
}

unverified contains "slope_reviewed" if {
	input.context.profile.jurisdiction == "CN"
	some item in input.resource.items
	"SLOPE_CURV" in item.tags
	data.catalogue.release.slope_reviewed.confidence == "m"
}

unverified contains "quality.recall_threshold" if {
	input.context.quality.sampled > 0
	data.law.quality.recall_threshold.confidence == "m"
}
