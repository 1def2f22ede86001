package fleetgate.act

default allow := false

allow if {
	count(required) > 0
	count(missing) == 0
}

required := object.keys(data.catalogue.act)

missing := required - passed

violations := [violation |
	some rule in sort(missing)
	violation := {"rule": rule, "facts": {entry.fact | some entry in facts; entry.rule == rule}}
]

# METADATA
# title: Decision before an act of a person
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

level := null

obligations contains {"kind": "record_access", "parameters": {"intent": true, "completion": true}} if input.action.name in law_raw_acts
