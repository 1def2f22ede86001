package fleetgate.publish

import data.fleetgate.lib

default allow := false

allow if {
	count(required) > 0
	count(missing) == 0
}

required := {rule | some rule, _ in data.catalogue.publish}

missing := required - passed

violations := [{"rule": rule, "facts": object.get(facts, rule, set())} | some rule in sort(missing)]

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

level := lib.highest({input.resource.level, input.resource.source_level}, input.context.time)

approvers_needed := lib.approvers(level, input.context.time)

binding_approvals := [approval | some approval in input.context.approvals; approval.digest == input.resource.digest]

obligations contains {"kind": "retain_record", "parameters": {"years": years}} if {
	years := lib.law(data.law.transfer.provision_record_years, input.context.time)
}

obligations contains {"kind": "show_unverified", "parameters": {"what": ["certificate"]}} if {
	input.context.certificate.unverified == true
}
