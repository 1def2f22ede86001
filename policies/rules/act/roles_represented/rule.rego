package fleetgate.act

# METADATA
# title: Where two persons act together, one of them holds the role that the table demands of the two
# description: 须由合规官参与的共同行为，两人中至少一人为合规官
# custom:
#   number: law 8
#   clause: COMPLIANCE.md §1 A11; DESIGN.md §3 law 8
#   confidence: own
passed contains "roles_represented" if {
	is_object(law_represented_roles)
	count(roles_represented_needed - roles_represented_held) == 0
}

passed contains "roles_represented" if input.resource.exists == false

roles_represented_needed := {role | some role in object.get(law_represented_roles, input.action.name, [])}

roles_represented_held := {role | some role in input.subject.roles} | {role |
	some done in input.resource.done
	some role in done.roles
}

facts contains {"rule": "roles_represented", "fact": {
	"act": input.action.name,
	"needs": roles_represented_needed,
	"held": roles_represented_held,
}}
