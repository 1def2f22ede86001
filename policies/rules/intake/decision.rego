package fleetgate.intake

import data.fleetgate.lib

default allow := false

allow if {
	count(required) > 0
	count(missing) == 0
}

required := {rule | some rule, _ in data.catalogue.intake}

missing := required - passed

violations := [{"rule": rule, "facts": object.get(facts, rule, set())} | some rule in sort(missing)]

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

level := lib.highest(levels, input.context.time) if {
	frame_known
	levels := {lib.law(data.law.taxonomy.class_level, input.context.time)[class] | some class in declared_classes}
}

declared_classes := {class | some class in input.resource.classes_declared}

cabin_classes := lib.members(data.law.taxonomy.cabin_classes, input.context.time)

frame_known if {
	input.resource.crs in lib.law(data.law.position.known_crs, input.context.time)
	known := object.keys(lib.law(data.law.taxonomy.class_level, input.context.time))
	count(declared_classes) > 0
	count(declared_classes - known) == 0
}

obligations contains {"kind": "quarantine_as", "parameters": {"level": "S4_STATE_SECRET"}} if level == "SX_UNKNOWN"

obligations contains {"kind": "show_unverified", "parameters": {"what": ["certificate"]}} if {
	input.context.certificate.unverified == true
}
