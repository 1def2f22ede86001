package fleetgate.publish

import data.fleetgate.lib

default allow := false

allow if {
	count(required) > 0
	count(missing) == 0
}

required := object.keys(data.catalogue.publish)

missing := required - passed

violations := [violation |
	some rule in sort(missing)
	violation := {"rule": rule, "facts": {entry.fact | some entry in facts; entry.rule == rule}}
]

# METADATA
# title: Decision at publish
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

level := lib.highest({input.resource.level, input.resource.source_level}, law_level_rank)

approvers_needed := lib.approvers(level, law_level_rank)

binding_approvals := [approval | some approval in input.context.approvals; approval.digest == input.resource.digest]

obligations contains {"kind": "retain_record", "parameters": {"years": years}} if {
	years := law_provision_record_years
}

obligations contains {"kind": "show_unverified", "parameters": {"what": ["certificate"]}} if {
	input.context.certificate.unverified == true
}
