package fleetgate.destroy

default allow := false

allow if {
	count(required) > 0
	count(missing) == 0
}

required := object.keys(data.catalogue.destroy)

missing := required - passed

violations := [violation |
	some rule in sort(missing)
	violation := {"rule": rule, "facts": {entry.fact | some entry in facts; entry.rule == rule}}
]

# METADATA
# title: Decision at destroy
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

obligations contains {"kind": "record_access", "parameters": {"intent": true, "completion": true}} if input.action.name == "destroy"

obligations contains {"kind": "show_unverified", "parameters": {"what": what}} if {
	what := sort(unverified)
	count(what) > 0
}

unverified contains "retention.raw_days" if {
	input.resource.seals == "originals"
	data.law.retention.raw_days.confidence == "m"
}

unverified contains "originals_expired" if {
	input.resource.seals == "originals"
	data.catalogue.destroy.originals_expired.confidence == "m"
}
