package fleetgate.intake

import data.fleetgate.lib

default allow := false

allow if {
	count(required) > 0
	count(missing) == 0
}

required := object.keys(data.catalogue.intake)

missing := required - passed

violations := [violation |
	some rule in sort(missing)
	violation := {"rule": rule, "facts": {entry.fact | some entry in facts; entry.rule == rule}}
]

# METADATA
# title: Decision at intake
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
	frame_known
	levels := {law_class_level[class] | some class in declared_classes}
}

declared_classes := {class | some class in input.resource.classes_declared}

frame_known if {
	law_knows_crs(input.resource.crs)
	known := object.keys(law_class_level)
	count(declared_classes) > 0
	count(declared_classes - known) == 0
}

obligations contains {"kind": "quarantine_as", "parameters": {"level": "S4_STATE_SECRET"}} if level == "SX_UNKNOWN"
