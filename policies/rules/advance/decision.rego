package fleetgate.advance

default allow := false

allow if {
	count(required) > 0
	count(missing) == 0
}

required := object.keys(data.catalogue.advance)

missing := required - passed

violations := [violation |
	some rule in sort(missing)
	violation := {"rule": rule, "facts": {entry.fact | some entry in facts; entry.rule == rule}}
]

# METADATA
# title: Decision at advance
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

obligations contains {"kind": "show_unverified", "parameters": {"what": ["certificate"]}} if {
	input.context.certificate.unverified == true
}
